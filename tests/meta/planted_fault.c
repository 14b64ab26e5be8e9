/* planted_fault: a fuzz target with one fault, for the test of the runner: it aborts on a
 * '}', which its corpus lacks. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        if (data[i] == '}') abort();
    }
    return 0;
}
