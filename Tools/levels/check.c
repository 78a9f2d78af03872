// check.c: compares the kernels of every level that this CPU has with plain loops in double precision, and with
// themselves in other groupings and numbers of threads, bit for bit. For machines that can't run the Swift tests, and
// for emulators (Tools/levels/run). Usage: check [BEST], which also asserts the best level that is found.

#include "check.h"

int check_count = 0, check_failures = 0;

int main(int argc, char **argv) {
    const char *best = "none";
    for (int id = 0; strcmp(swiftlet_level_name((swiftlet_level)id), "unknown") != 0; id++) {
        if (!swiftlet_level_supported((swiftlet_level)id)) continue;
        best = swiftlet_level_name((swiftlet_level)id);
        check_level level = {best, swiftlet_cpu_create((swiftlet_level)id, 1, NULL),
                             swiftlet_cpu_create((swiftlet_level)id, 3, NULL)};
        if (level.one == NULL || level.three == NULL) abort();
        int count = check_count, failures = check_failures;
        check_linear(&level);
        check_norm(&level);
        check_attention(&level);
        check_logits(&level);
        printf("%-11s %6d checks, %d failed\n", best, check_count - count, check_failures - failures);
        fflush(stdout);
        swiftlet_cpu_destroy(level.one);
        swiftlet_cpu_destroy(level.three);
    }
    if (argc > 1) CHECK(strcmp(best, argv[1]) == 0, "the best level is %s, not %s", best, argv[1]);
    return check_failures > 0;
}
