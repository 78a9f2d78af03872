#if Server
import Hummingbird
import HummingbirdTLS
#endif
