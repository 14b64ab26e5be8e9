/* host_process: what the files of one process's folder say; the door asks for /proc/PID. */
#ifndef HOST_PROCESS_H
#define HOST_PROCESS_H

#include "host.h"

/* host_process_memory of smaps_rollup and status in `folder`, which ends with a slash. */
bool host_process_use(const char *folder, struct host_use *use);

/* host_process_maps of a file in the format of smaps. */
bool host_process_smaps(const char *path, void (*each)(void *context, const struct host_map *map),
                        void *context);

#endif
