/* init: process 1 of the emulated machine. Runs one program and sends its output and its end out.
 *
 * /emu/job holds NUL-terminated strings: the working folder, the number of arguments, the arguments,
 * then the environment. What the program writes leaves by the parallel port in frames
 *   channel (1 byte), length (2 bytes, little endian), bytes
 * on channel 1 (standard output), 2 (standard error), 0 (a message of this file) and 'x' (last: "exit N"
 * or "signal N"). The port is written directly: the emulator puts each byte into a file at once, where
 * its serial port would spend emulated time on every bit.
 *
 * Failures end the machine too, with a message on channel 0 and no frame 'x'. */
#define _GNU_SOURCE 1
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PORT_DATA = 0x378, PORT_CONTROL = 0x37a, PORT_SHUTDOWN = 0x8900 };
enum { CONTROL_IDLE = 0x0c, CONTROL_STROBE = 0x0d }; /* nInit and select; strobe is bit 0 */
enum { JOB_LIMIT = 1 << 20, STRINGS_LIMIT = 4096, FRAME_LIMIT = 4096 };

static void send_byte(unsigned char byte)
{
    outb(byte, PORT_DATA);
    outb(CONTROL_STROBE, PORT_CONTROL);
    outb(CONTROL_IDLE, PORT_CONTROL);
}

static void send_frame(char channel, const void *bytes, size_t size)
{
    const unsigned char *at = bytes;
    send_byte((unsigned char)channel);
    send_byte((unsigned char)size);
    send_byte((unsigned char)(size >> 8));
    for (size_t i = 0; i < size; i++)
        send_byte(at[i]);
}

/* The emulator ends when its unassigned port is told so, letter by letter. */
static void __attribute__((noreturn)) power_off(void)
{
    for (const char *letter = "Shutdown"; *letter; letter++)
        outb((unsigned char)*letter, PORT_SHUTDOWN);
    for (;;)
        pause();
}

static void __attribute__((noreturn, format(printf, 1, 2))) give_up(const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    send_frame('0', text, strlen(text));
    power_off();
}

static void mount_or_give_up(const char *type, const char *place)
{
    if (mkdir(place, 0755) != 0 && errno != EEXIST) give_up("mkdir %s: %s", place, strerror(errno));
    if (mount(type, place, type, 0, NULL) != 0)
        give_up("mounting %s on %s: %s", type, place, strerror(errno));
}

struct job {
    const char *folder;
    char **argv; /* NULL ends it; points into strings, as envp does */
    char **envp;
    char *strings[STRINGS_LIMIT];
    char text[JOB_LIMIT];
};

static void job_read(struct job *job)
{
    int fd = open("/emu/job", O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? -1 : read(fd, job->text, sizeof job->text - 1);
    if (size < 0) give_up("/emu/job: %s", strerror(errno));
    close(fd);

    size_t n = 0;
    size_t n_arguments = 0;
    for (char *at = job->text; at < job->text + size; at += strlen(at) + 1) {
        if (n + 2 >= STRINGS_LIMIT) give_up("/emu/job: more than %d strings", STRINGS_LIMIT - 2);
        job->strings[n++] = at;
        if (n == 2) n_arguments = strtoul(at, NULL, 10);
        if (n == 2 + n_arguments) job->strings[n++] = NULL;
    }
    if (n_arguments == 0 || n < 3 + n_arguments)
        give_up("/emu/job: %zu arguments announced, %zu strings there", n_arguments, n);
    job->strings[n] = NULL;
    job->folder = job->strings[0];
    job->argv = job->strings + 2;
    job->envp = job->strings + 3 + n_arguments;
}

/* Sends what arrives on both pipes until the last writer of each has closed it. */
static void forward(const int pipes[2])
{
    struct pollfd polled[2] = {{.fd = pipes[0], .events = POLLIN},
                               {.fd = pipes[1], .events = POLLIN}};
    char bytes[FRAME_LIMIT];
    for (int n_open = 2; n_open > 0;) {
        if (poll(polled, 2, -1) < 0 && errno != EINTR) give_up("poll: %s", strerror(errno));
        for (int i = 0; i < 2; i++) {
            if (polled[i].fd < 0 || polled[i].revents == 0) continue;
            const ssize_t n = read(polled[i].fd, bytes, sizeof bytes);
            if (n > 0) {
                send_frame((char)('1' + i), bytes, (size_t)n);
            } else if (n == 0 || errno != EINTR) {
                polled[i].fd = -1; /* poll skips it from now on */
                n_open--;
            }
        }
    }
}

int main(void)
{
    static struct job job;
    if (iopl(3) != 0) return 1; /* the kernel panics, which its serial console tells */
    mount_or_give_up("proc", "/proc");
    mount_or_give_up("sysfs", "/sys");
    mount_or_give_up("devtmpfs", "/dev");
    mount_or_give_up("tmpfs", "/dev/shm");
    job_read(&job);

    int out[2];
    int err[2];
    if (pipe2(out, O_CLOEXEC) != 0 || pipe2(err, O_CLOEXEC) != 0)
        give_up("pipe: %s", strerror(errno));
    const pid_t child = fork();
    if (child < 0) give_up("fork: %s", strerror(errno));
    if (child == 0) {
        /* Ports stay with process 1. */
        if (iopl(0) != 0 || dup2(out[1], 1) < 0 || dup2(err[1], 2) < 0) _exit(126);
        const int nothing = open("/dev/null", O_RDONLY);
        if (nothing < 0 || dup2(nothing, 0) < 0 || chdir(job.folder) != 0) {
            fprintf(stderr, "init: %s: %s\n", job.folder, strerror(errno));
            _exit(126);
        }
        execve(job.argv[0], job.argv, job.envp);
        fprintf(stderr, "init: %s: %s\n", job.argv[0], strerror(errno));
        _exit(127);
    }
    close(out[1]);
    close(err[1]);
    forward((const int[2]){out[0], err[0]});

    int status = 0;
    for (pid_t ended = 0; ended != child;) {
        ended = wait(&status); /* orphans of the program come by too */
        if (ended < 0 && errno != EINTR) give_up("wait: %s", strerror(errno));
    }
    char end[64];
    if (WIFEXITED(status))
        snprintf(end, sizeof end, "exit %d", WEXITSTATUS(status));
    else
        snprintf(end, sizeof end, "signal %d", WTERMSIG(status));
    send_frame('x', end, strlen(end));
    power_off();
}
