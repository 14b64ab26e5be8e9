/* Base's children: where a program of ours is found, what a started one is given, and how it is ended.
 *
 * The children are this program again, in a role that its first argument names. This process takes in
 * orphans (PR_SET_CHILD_SUBREAPER), so that the end of a grandchild is waited for and not guessed. */
#include "base/base.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define LONG_MS  120000u /* what is waited for comes at once; this is for a machine that is busy */
#define SHORT_MS 200u    /* what is waited for never comes */

static char folder[] = "/tmp/vecmill-child-XXXXXX";
static bool orphaned; /* getppid names another process */

pid_t __real_getppid(void);
pid_t __wrap_getppid(void);

pid_t __wrap_getppid(void)
{
    return orphaned ? 1 : __real_getppid();
}

/* ---- the roles of the children ---- */

static void say(const char *text)
{
    if (write(STDOUT_FILENO, text, strlen(text)) < 0) _exit(3);
}

static void wait_for_ever(void)
{
    for (;;)
        pause();
}

/* One line "NAME VALUE " of /proc/self/status. */
static void say_status(const char *name)
{
    char line[256];
    FILE *file = fopen("/proc/self/status", "re");
    while (file && fgets(line, sizeof line, file)) {
        if (strncmp(line, name, strlen(name)) == 0) say(line);
    }
    if (file) fclose(file);
}

static void say_facts(void)
{
    char line[64];
    int sig = 0;
    (void)prctl(PR_GET_PDEATHSIG, &sig);
    (void)snprintf(line, sizeof line, "DeathSig %d\n", sig);
    say(line);
    say_status("SigBlk:");
    say_status("SigIgn:");
    for (int fd = 0; fd < 64; fd++) {
        if (fcntl(fd, F_GETFD) < 0) continue;
        (void)snprintf(line, sizeof line, "open %d\n", fd);
        say(line);
    }
}

static void copy_input(void)
{
    char data[4096];
    ssize_t n;
    while ((n = read(STDIN_FILENO, data, sizeof data)) > 0) {
        if (write(STDOUT_FILENO, data, (size_t)n) != n) _exit(3);
    }
}

/* Starts a child, says its number, and waits. */
static void raise_a_child(void)
{
    char *argv[] = {(char *)"child", (char *)"wait", NULL};
    const struct child_options o = {.program = "/proc/self/exe", .argv = argv};
    struct child c;
    char line[32];
    if (child_start(&o, &c, VECMILL_E_IO, NULL) != VECMILL_OK) _exit(3);
    (void)snprintf(line, sizeof line, "%ld\n", (long)c.pid);
    say(line);
    wait_for_ever();
}

static int play(char **argv)
{
    const char *role = argv[1];
    if (strcmp(role, "find") == 0) {
        char path[IO_PATH_MAX];
        vecmill_err err;
        say(child_find(argv[2], path, VECMILL_E_NOTFOUND, &err) == VECMILL_OK ? path : err.message);
    } else if (strcmp(role, "wait") == 0) {
        signal(SIGTERM, SIG_IGN);
        wait_for_ever();
    } else if (strcmp(role, "flood") == 0) {
        for (;;)
            say("0123456789abcdef");
    } else if (strcmp(role, "much") == 0) {
        for (int i = 0; i < 10000; i++)
            say("0123456789abcdef");
    } else if (strcmp(role, "half") == 0) {
        say("hal");
        raise(SIGKILL);
    } else if (strcmp(role, "closes") == 0) {
        say("all");
        close(STDOUT_FILENO);
        wait_for_ever();
    } else if (strcmp(role, "facts") == 0) {
        say_facts();
    } else if (strcmp(role, "copy") == 0) {
        copy_input();
        fputs("an error", stderr);
        return 7;
    } else if (strcmp(role, "raise") == 0) {
        raise_a_child();
    } else if (strcmp(role, "where") == 0) {
        char here[IO_PATH_MAX];
        say(getcwd(here, sizeof here) ? here : "?");
    } else {
        return 2;
    }
    return 0;
}

/* ---- helpers ---- */

static void no_child_is_left(void)
{
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
}

struct answer {
    char text[4096];
    size_t n;
    struct child_end end;
    vecmill_status status;
    vecmill_err err;
};

static struct answer ask_with(struct child_options o, const char *role, unsigned wait_ms)
{
    char *argv[] = {(char *)"child", (char *)role, NULL};
    struct answer a = {.n = 0};
    o.program = o.program ? o.program : "/proc/self/exe";
    o.argv = o.argv ? o.argv : argv;
    a.status = child_ask(&o, "asking", wait_ms, a.text, sizeof a.text - 1, &a.n, &a.end,
                         VECMILL_E_IO, &a.err);
    a.text[a.status == VECMILL_OK ? a.n : 0] = '\0';
    return a;
}

static struct answer ask(const char *role)
{
    const struct answer a = ask_with((struct child_options){.dir = NULL}, role, LONG_MS);
    if (a.status != VECMILL_OK) fail_msg("%s: %s", role, a.err.message);
    return a;
}

/* The end of a process that has become our child; false when it does not come. */
static bool is_ended(pid_t pid)
{
    const uint64_t until = clock_ns() + (uint64_t)LONG_MS * 1000000u;
    while (clock_ns() < until) {
        if (waitpid(pid, NULL, WNOHANG) == pid) return true;
        (void)poll(NULL, 0, 5);
    }
    return false;
}

/* The number that a child says in its first line. */
static pid_t read_pid(const struct child *c)
{
    char line[32] = "";
    size_t n = 0, got = 0;
    while (n < sizeof line - 1 && !strchr(line, '\n')) {
        const enum child_heard heard = child_read(c, line + n, sizeof line - 1 - n, LONG_MS, &got);
        if (heard != CHILD_SAID) fail_msg("no number, but %d", (int)heard);
        n += got;
        line[n] = '\0';
    }
    return (pid_t)strtol(line, NULL, 10);
}

static void write_file(const char *name, const char *text, mode_t mode, char path[IO_PATH_MAX])
{
    (void)snprintf(path, IO_PATH_MAX, "%s/%s", folder, name);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    assert_int_equal(chmod(path, mode), 0);
}

/* ---- finding ---- */

/* This program as FOLDER/bin/self, which looks for `name`. */
static struct answer find(const char *name)
{
    char self[IO_PATH_MAX];
    char *argv[] = {(char *)"self", (char *)"find", (char *)name, NULL};
    (void)snprintf(self, sizeof self, "%s/bin/self", folder);
    return ask_with((struct child_options){.program = self, .argv = argv}, NULL, LONG_MS);
}

static void a_program_is_found_by_one_rule(void **state)
{
    (void)state;
    char command[4 * IO_PATH_MAX], path[IO_PATH_MAX], beside[IO_PATH_MAX];
    (void)snprintf(command, sizeof command,
                   "cd %s && mkdir -p bin libexec/vecmill path bin/vecmill-folder && cp "
                   "/proc/%ld/exe bin/self",
                   folder, (long)getpid());
    assert_int_equal(system(command), 0);
    const char *path_before = getenv("PATH");
    char *kept = strdup(path_before ? path_before : "");

    write_file("path/vecmill-mine", "x", 0755, path);
    (void)snprintf(path, sizeof path, "%s/path", folder);
    assert_int_equal(setenv("PATH", path, 1), 0);
    assert_non_null(strstr(find("vecmill-mine").text, "vecmill-mine is neither beside"));
    assert_int_equal(setenv("PATH", kept, 1), 0);
    free(kept);

    write_file("libexec/vecmill/vecmill-mine", "x", 0755, path);
    (void)snprintf(path, sizeof path, "%s/bin/../libexec/vecmill/vecmill-mine", folder);
    assert_string_equal(find("vecmill-mine").text, path);

    write_file("bin/vecmill-mine", "x", 0644, beside);
    if (access(beside, X_OK) != 0) assert_string_equal(find("vecmill-mine").text, path);
    write_file("bin/vecmill-mine", "x", 0755, beside);
    assert_string_equal(find("vecmill-mine").text, beside);
    assert_non_null(
        strstr(find("vecmill-folder").text, "neither beside")); /* a folder is no program */
}

/* ---- starting ---- */

static void a_child_is_given_a_clean_start(void **state)
{
    (void)state;
    sigset_t all, before;
    const int ignored[] = {SIGPIPE, SIGTERM, SIGHUP};
    const int leak = open("/dev/null", O_RDONLY); /* on purpose without CLOEXEC, as a host's */
    assert_true(leak > 2);
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    for (int i = 0; i < 3; i++) /* whatever the shell that runs this ignores */
        signal((const int[]){SIGINT, SIGQUIT, SIGXFSZ}[i], SIG_DFL);
    for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++)
        signal(ignored[i], SIG_IGN);
    const struct answer a = ask("facts");
    for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++)
        signal(ignored[i], SIG_DFL);
    sigprocmask(SIG_SETMASK, &before, NULL);
    close(leak);
    assert_string_equal(a.text, "DeathSig 9\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000000001\n"
                                "open 0\nopen 1\nopen 2\n");
    assert_true(a.end.is_known && a.end.sig == 0 && a.end.code == 0);
    no_child_is_left();
}

static void a_host_without_descriptors_is_coped_with(void **state)
{
    (void)state;
    const int in = fcntl(0, F_DUPFD_CLOEXEC, 10), out = fcntl(1, F_DUPFD_CLOEXEC, 10);
    assert_true(in >= 0 && out >= 0);
    close(0);
    close(1);
    const struct answer a =
        ask_with((struct child_options){.input = "hello", .input_bytes = 5}, "copy", LONG_MS);
    dup2(in, 0);
    dup2(out, 1);
    close(in);
    close(out);
    assert_int_equal(a.status, VECMILL_OK);
    assert_string_equal(a.text, "hello");
}

static void input_errors_and_code_arrive(void **state)
{
    (void)state;
    static char input[CHILD_INPUT_MAX];
    memset(input, 'i', sizeof input);
    struct child_options o = {.input = input, .input_bytes = 100, .errors_too = true};
    struct answer a = ask_with(o, "copy", LONG_MS);
    assert_int_equal(a.status, VECMILL_OK);
    assert_int_equal(a.n, 108);
    assert_string_equal(a.text + 100, "an error");
    assert_true(a.end.is_known && a.end.sig == 0 && a.end.code == 7);
    o.input_bytes = sizeof input;
    a = ask_with(o, "copy", LONG_MS);
    assert_int_equal(a.n, sizeof a.text - 1);
    assert_int_equal(ask_with((struct child_options){.errors_too = true}, "copy", LONG_MS).n, 8);
}

static void a_working_folder_and_path_are_used(void **state)
{
    (void)state;
    char real[IO_PATH_MAX];
    char *argv[] = {(char *)"sh", (char *)"-c", (char *)"pwd -P", NULL};
    assert_non_null(realpath(folder, real));
    assert_string_equal(ask_with((struct child_options){.dir = folder}, "where", LONG_MS).text,
                        real);
    const struct child_options shell = {
        .program = "sh", .argv = argv, .search_path = true, .dir = folder};
    const struct answer a = ask_with(shell, NULL, LONG_MS);
    assert_int_equal(strncmp(a.text, real, strlen(real)), 0);
}

static void what_cannot_be_started_is_no_child(void **state)
{
    (void)state;
    char path[IO_PATH_MAX];
    struct answer a = ask_with((struct child_options){.program = "/nowhere/at-all"}, "x", LONG_MS);
    assert_int_equal(a.status, VECMILL_E_IO);
    assert_string_equal(a.err.message,
                        "/nowhere/at-all cannot be started: No such file or directory");
    write_file("text", "not a program", 0755, path);
    a = ask_with((struct child_options){.program = path}, "x", LONG_MS);
    assert_int_equal(a.status, VECMILL_E_IO);
    assert_non_null(strstr(a.err.message, "text cannot be started: Exec format error"));
    a = ask_with((struct child_options){.program = folder}, "x", LONG_MS);
    assert_non_null(strstr(a.err.message, "cannot be started: Permission denied"));
    a = ask_with((struct child_options){.program = "vecmill-nonesuch", .search_path = true}, "x",
                 LONG_MS);
    assert_non_null(strstr(a.err.message, "vecmill-nonesuch cannot be started: No such file"));
    a = ask_with((struct child_options){.dir = "/nowhere"}, "facts", LONG_MS);
    assert_non_null(strstr(a.err.message, "cannot be started: No such file"));
    no_child_is_left();
}

static unsigned count_descriptors(void)
{
    unsigned n = 0;
    DIR *dir = opendir("/proc/self/fd");
    assert_non_null(dir);
    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}

static void no_descriptor_is_left(void **state)
{
    (void)state;
    const unsigned before = count_descriptors();
    (void)ask("facts");
    (void)ask_with((struct child_options){.input = "x", .input_bytes = 1}, "copy", LONG_MS);
    (void)ask_with((struct child_options){.program = "/nowhere/at-all"}, "x", LONG_MS);
    (void)ask_with((struct child_options){.dir = NULL}, "wait", SHORT_MS);
    assert_int_equal(count_descriptors(), before);
}

/* ---- hearing and ending ---- */

static void one_that_never_answers_is_killed(void **state)
{
    (void)state;
    const struct answer a = ask_with((struct child_options){.dir = NULL}, "wait", SHORT_MS);
    assert_int_equal(a.status, VECMILL_E_IO);
    assert_string_equal(a.err.message, "asking took more than 0 s");
    assert_true(a.end.is_known);
    assert_int_equal(a.end.sig, SIGKILL);
    no_child_is_left();
}

static void one_that_says_too_much_is_cut_and_ended(void **state)
{
    (void)state;
    const struct answer a = ask("much");
    assert_int_equal(a.n, sizeof a.text - 1);
    assert_int_equal(strncmp(a.text + 16, "0123456789abcdef", 16), 0);
    assert_int_equal(a.end.code, 0);
    const struct answer b = ask_with((struct child_options){.dir = NULL}, "flood", SHORT_MS);
    assert_int_equal(b.status, VECMILL_E_IO);
    /* Its pipe is closed first, so that it may end by that. */
    assert_true(b.end.sig == SIGKILL || b.end.sig == SIGPIPE);
    no_child_is_left();
}

static void one_that_dies_half_way_is_told(void **state)
{
    (void)state;
    const struct answer a = ask("half");
    assert_string_equal(a.text, "hal");
    assert_true(a.end.is_known && a.end.sig == SIGKILL);
    no_child_is_left();
}

static void one_that_says_its_last_word_and_stays_is_killed(void **state)
{
    (void)state;
    char *argv[] = {(char *)"child", (char *)"closes", NULL};
    const struct child_options o = {.program = "/proc/self/exe", .argv = argv};
    struct child c;
    struct child_end end;
    char said[8];
    size_t got = 0;
    assert_int_equal(child_start(&o, &c, VECMILL_E_IO, NULL), VECMILL_OK);
    assert_int_equal(child_read(&c, said, sizeof said, LONG_MS, &got), CHILD_SAID);
    assert_int_equal(got, 3);
    while (child_read(&c, said, sizeof said, LONG_MS, &got) != CHILD_CLOSED)
        continue;
    assert_false(child_has_ended(&c, &end));
    child_close(&c, SHORT_MS, &end);
    assert_true(end.is_known && end.sig == SIGKILL);
    assert_int_equal(c.pid, 0);
    child_signal(&c, SIGKILL); /* nobody: this process would be its own group's */
    no_child_is_left();
}

static void a_host_that_ignores_its_children_hears_the_answer(void **state)
{
    (void)state;
    signal(SIGCHLD, SIG_IGN);
    const struct answer a = ask("where");
    const struct answer late = ask_with((struct child_options){.dir = NULL}, "wait", SHORT_MS);
    signal(SIGCHLD, SIG_DFL);
    assert_int_equal(a.text[0], '/');
    assert_false(a.end.is_known);
    assert_int_equal(late.status, VECMILL_E_IO);
    assert_false(late.end.is_known);
    no_child_is_left();
}

static void others_children_are_left_alone(void **state)
{
    (void)state;
    int how;
    const pid_t other = fork();
    assert_true(other >= 0);
    if (other == 0) _exit(42);
    (void)ask("facts");
    assert_int_equal(waitpid(other, &how, 0), other);
    assert_true(WIFEXITED(how) && WEXITSTATUS(how) == 42);
}

/* ---- who dies with whom ---- */

static void a_child_dies_with_its_parent(void **state)
{
    (void)state;
    char *argv[] = {(char *)"child", (char *)"raise", NULL};
    const struct child_options o = {.program = "/proc/self/exe", .argv = argv};
    struct child c;
    struct child_end end;
    assert_int_equal(child_start(&o, &c, VECMILL_E_IO, NULL), VECMILL_OK);
    const pid_t grandchild = read_pid(&c);
    assert_true(grandchild > 0);
    child_close(&c, 0, &end);
    assert_int_equal(end.sig, SIGKILL);
    assert_true(is_ended(grandchild));
    no_child_is_left();
}

static void a_child_of_a_parent_that_is_gone_does_not_begin(void **state)
{
    (void)state;
    orphaned = true;
    const struct answer a = ask_with((struct child_options){.dir = NULL}, "facts", LONG_MS);
    orphaned = false;
    assert_int_equal(a.status, VECMILL_E_IO);
    no_child_is_left();
}

static void a_group_is_ended_as_a_whole(void **state)
{
    (void)state;
    char *argv[] = {(char *)"sh", (char *)"-c", (char *)"sleep 1000 & echo $!; wait", NULL};
    const struct child_options o = {
        .program = "sh", .argv = argv, .search_path = true, .is_group = true};
    struct child c;
    struct child_end end;
    assert_int_equal(child_start(&o, &c, VECMILL_E_IO, NULL), VECMILL_OK);
    const pid_t member = read_pid(&c);
    assert_true(member > 0);
    child_close(&c, 0, &end);
    assert_true(is_ended(member));
    no_child_is_left();
}

static int set_up(void **state)
{
    (void)state;
    if (!mkdtemp(folder)) return -1;
    return prctl(PR_SET_CHILD_SUBREAPER, 1);
}

static int tear_down(void **state)
{
    char command[128];
    (void)state;
    (void)snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_program_is_found_by_one_rule),
        cmocka_unit_test(a_child_is_given_a_clean_start),
        cmocka_unit_test(a_host_without_descriptors_is_coped_with),
        cmocka_unit_test(input_errors_and_code_arrive),
        cmocka_unit_test(a_working_folder_and_path_are_used),
        cmocka_unit_test(what_cannot_be_started_is_no_child),
        cmocka_unit_test(no_descriptor_is_left),
        cmocka_unit_test(one_that_never_answers_is_killed),
        cmocka_unit_test(one_that_says_too_much_is_cut_and_ended),
        cmocka_unit_test(one_that_dies_half_way_is_told),
        cmocka_unit_test(one_that_says_its_last_word_and_stays_is_killed),
        cmocka_unit_test(a_host_that_ignores_its_children_hears_the_answer),
        cmocka_unit_test(others_children_are_left_alone),
        cmocka_unit_test(a_child_dies_with_its_parent),
        cmocka_unit_test(a_child_of_a_parent_that_is_gone_does_not_begin),
        cmocka_unit_test(a_group_is_ended_as_a_whole),
    };
    if (argc > 1) return play(argv);
    const int failed = cmocka_run_group_tests_name("child", tests, set_up, tear_down);
    printf("base: %zu passed, %d failed\n", sizeof tests / sizeof *tests - (size_t)failed, failed);
    return failed;
}
