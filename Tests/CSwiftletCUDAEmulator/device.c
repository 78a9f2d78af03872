// device.c: embeds what kernels are compiled with. Owned by compiler.cpp.
#define TEXT static const char

TEXT header[] = {
#embed "device/emulated.h" suffix(, 0)
};
TEXT calls_header[] = {
#embed "device/emulated_calls.h" suffix(, 0)
};
TEXT ptx[] = {
#embed "device/ptx.cuh" suffix(, 0)
};

extern const char *const swiftlet_emulated_header, *const swiftlet_emulated_calls_header, *const swiftlet_emulated_ptx;
const char *const swiftlet_emulated_header = header;
const char *const swiftlet_emulated_calls_header = calls_header;
const char *const swiftlet_emulated_ptx = ptx;
