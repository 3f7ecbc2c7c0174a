/* Stands in for NVIDIA's driver: as libcuda.so.1 and as libnvidia-ml.so.1 it answers "one L4".
   It computes nothing: TensorFlow lists the GPU, and cannot use it. */
#include <stddef.h>
#include <string.h>

enum { COMPUTE_MAJOR = 75, COMPUTE_MINOR = 76, PROCESSORS = 16, WARP = 10 };

int cuInit(unsigned flags) { (void)flags; return 0; }
int cuDriverGetVersion(int *version) { *version = 12090; return 0; }
int cuDeviceGetCount(int *count) { *count = 1; return 0; }
int cuDeviceGet(int *device, int ordinal) { *device = ordinal; return 0; }
int cuDeviceGetAttribute(int *value, int attribute, int device) {
    (void)device;
    switch (attribute) {
    case COMPUTE_MAJOR: *value = 8; break;
    case COMPUTE_MINOR: *value = 9; break;
    case PROCESSORS: *value = 58; break;
    case WARP: *value = 32; break;
    default: *value = 1024;
    }
    return 0;
}
int cuDeviceGetName(char *name, int length, int device) {
    (void)device;
    strncpy(name, "L4, stood in for", length);
    return 0;
}
int cuDeviceTotalMem_v2(size_t *bytes, int device) { (void)device; *bytes = 24ULL << 30; return 0; }
int cuDeviceGetPCIBusId(char *id, int length, int device) {
    (void)device;
    strncpy(id, "0000:00:04.0", length);
    return 0;
}

int nvmlInit_v2(void) { return 0; }
int nvmlShutdown(void) { return 0; }
