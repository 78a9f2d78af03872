// Open MPI's launcher, where it is installed.

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

package enum MPILauncher {
    package static let path: String? = ["/usr/bin/mpirun", "/usr/local/bin/mpirun"].first { access($0, X_OK) == 0 }
    package static let missing = "mpirun of Open MPI is not installed (Debian: openmpi-bin)"

    /// mpirun with what a container needs: it may run as root, and there may be fewer cores than ranks.
    package static func arguments(_ count: Int) -> [String] {
        [path!, "--allow-run-as-root", "--oversubscribe", "-n", "\(count)"]
    }
}
