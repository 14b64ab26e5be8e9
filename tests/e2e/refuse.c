/* refuse: runs a program with system calls answered by an error, as a sandbox or an old kernel
 * would.
 *
 *     refuse ERRNO CALL[,CALL...] PROGRAM [ARGUMENT...]
 *
 * CALL: a number, or NUMBER:VALUE, refused when its second argument is that. By a seccomp filter,
 * so that everything below is refused them too. */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#define CALLS_MOST 64

static struct sock_filter load(size_t at)
{
    return (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (unsigned)at);
}

/* Goes over the next so many unless what was loaded is this. */
static struct sock_filter unless(unsigned value, unsigned char over)
{
    return (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, over);
}

int main(int argc, char **argv)
{
    struct sock_filter filter[5 * CALLS_MOST + 1];
    unsigned short n = 0;
    if (argc < 4) return 2;
    const unsigned error = (unsigned)atoi(argv[1]);
    for (char *call = strtok(argv[2], ","); call; call = strtok(NULL, ",")) {
        const char *value = strchr(call, ':');
        if (n + 5u > sizeof filter / sizeof *filter - 1) return 2;
        filter[n++] = load(offsetof(struct seccomp_data, nr));
        filter[n++] = unless((unsigned)atoi(call), value ? 3 : 1);
        if (value) filter[n++] = load(offsetof(struct seccomp_data, args[1]));
        if (value) filter[n++] = unless((unsigned)atoi(value + 1), 1);
        filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error);
    }
    filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog program = {n, filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
        perror("seccomp");
        return 2;
    }
    execvp(argv[3], argv + 3);
    perror(argv[3]);
    return 127;
}
