/* SPDX-License-Identifier: MIT
 *
 * Character back ends, each with somebody at the other end: words, bytes both ways, slow readers,
 * the multiplexer's keys. */
#include "chardev/chardev.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/loop.h"
#include "base/memory.h"
#include "base/strbuf.h"

enum { MILLISECOND = 1000000 };

/* A front end that keeps what it is told. */
struct user {
    struct chardev_front front;
    size_t room;
    struct strbuf in;
    unsigned opened, closed, breaks, mux_in, mux_out, writable;
};

static void user_free(struct user *user)
{
    chardev_detach(&user->front);
    strbuf_free(&user->in);
}

struct fixture {
    struct loop *loop;
    struct chardevs *set;
    char folder[64];
    bool quit;
};

static size_t can_receive(void *opaque)
{
    return ((struct user *)opaque)->room;
}

static void receive(void *opaque, const uint8_t *bytes, size_t count)
{
    struct user *user = opaque;

    assert_true(count <= user->room);
    user->room -= count;
    strbuf_add(&user->in, bytes, count);
}

static void event(void *opaque, enum chardev_event what)
{
    struct user *user = opaque;

    user->opened += what == CHARDEV_OPENED;
    user->closed += what == CHARDEV_CLOSED;
    user->breaks += what == CHARDEV_BREAK;
    user->mux_in += what == CHARDEV_MUX_IN;
    user->mux_out += what == CHARDEV_MUX_OUT;
}

static void writable(void *opaque)
{
    ((struct user *)opaque)->writable++;
}

static void user_init(struct user *user, struct chardev *chardev)
{
    struct error err = {.text = ""};

    *user = (struct user){
        .room = 1 << 20,
        .front = {.can_receive = can_receive,
                  .receive = receive,
                  .event = event,
                  .writable = writable,
                  .opaque = user},
    };
    strbuf_init(&user->in);
    assert_true(chardev_attach(&user->front, chardev, &err));
}

static int set_up(void **state)
{
    struct fixture *f = mem_alloc(sizeof *f);

    f->loop = loop_new(NULL);
    f->set = chardevs_new(f->loop);
    strcpy(f->folder, "/tmp/vitrine-chardev-XXXXXX");
    *state = f;
    return mkdtemp(f->folder) && f->loop ? 0 : -1;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    char *command = mem_format("rm -r %s", f->folder);
    int failed;

    chardevs_free(f->set);
    loop_free(f->loop);
    failed = system(command);
    free(command);
    free(f);
    return failed;
}

static struct chardev *open_it(struct fixture *f, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static struct chardev *open_it(struct fixture *f, const char *format, ...)
{
    struct error err = {.text = ""};
    char text[256];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    struct chardev *chardev = chardev_open(f->set, text, &err);
    assert_string_equal(err.text, "");
    assert_non_null(chardev);
    return chardev;
}

/* Runs the loop until the user got so many bytes. */
static void until_received(struct fixture *f, struct user *user, size_t count)
{
    for (int i = 0; i < 200 && user->in.len < count; i++) {
        loop_step(f->loop, 50 * MILLISECOND);
    }
    assert_int_equal(user->in.len, count);
}

/* What comes out at the descriptor, `count` bytes, while the loop runs. */
static void until_read(struct fixture *f, int fd, char *to, size_t count)
{
    size_t done = 0;

    for (int i = 0; i < 5000 && done < count; i++) {
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        loop_step(f->loop, 0);
        if (poll(&ready, 1, 1) > 0) {
            ssize_t n = read(fd, to + done, count - done);
            done += n > 0 ? (size_t)n : 0;
        }
    }
    assert_int_equal(done, count);
}

static void read_file(const char *path, char *to, size_t size)
{
    FILE *file = fopen(path, "r");

    assert_non_null(file);
    to[fread(to, 1, size - 1, file)] = 0;
    fclose(file);
}

/* --- words --- */

static void refused_words(void **state)
{
    static const struct {
        const char *words, *sentence;
    } rows[] = {
        {"stdio", "a character back end needs an id: id=NAME"},
        {"null,id=a", "there is a character back end with the id 'a' already"},
        {"gtk,id=b", "'gtk' is not a character back end; there are: file null pipe pty ringbuf "
                     "serial socket stdio udp"},
        {"null,id=b,path=x", "character back end null has no option 'path'; it takes id mux "
                             "logfile logappend"},
        {"file,id=b", "file needs path=FILE"},
        {"file,id=b,path=/nowhere/x", "/nowhere/x: No such file or directory"},
        {"ringbuf,id=b,size=3", "the size of ringbuf chardev must be power of two"},
        {"socket,id=b", "socket needs path=FILE for a Unix socket, or port=NUMBER (and host=NAME) "
                        "for TCP, or fd=NUMBER"},
        {"socket,id=b,path=/nowhere/x", "unix:/nowhere/x: No such file or directory"},
        {"socket,id=b,path=/x,wait=on",
         "'wait' option is incompatible with socket in client connect mode"},
        {"socket,id=b,path=/x,server=on,reconnect=1",
         "'reconnect' option is incompatible with socket in server listen mode"},
        {"socket,id=b,fd=9999", "fd=9999 is not open"},
        {"udp,id=b", "udp needs port=NUMBER"},
        {"serial,id=b,path=/dev/null", "/dev/null is not a terminal device"},
        {"null,id=b,logfile=/nowhere/x", "logfile /nowhere/x: No such file or directory"},
    };
    struct fixture *f = *state;

    open_it(f, "null,id=a");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct error err = {.text = ""};
        assert_null(chardev_open(f->set, rows[i].words, &err));
        assert_string_equal(err.text, rows[i].sentence);
        assert_null(chardev_find(f->set, "b"));
    }
}

static void short_words(void **state)
{
    struct fixture *f = *state;
    struct chardev *chardev;
    struct error err = {.text = ""};
    char *file = mem_format("file:%s/with,comma", f->folder);
    char *server = mem_format("unix:%s/s,server,nowait", f->folder);

    assert_true(chardev_open_words(f->set, "a", "none", &chardev, &err));
    assert_null(chardev);
    assert_true(chardev_open_words(f->set, "a", "null", &chardev, &err));
    assert_ptr_equal(chardev, chardev_find(f->set, "a"));
    struct chardev *other;
    assert_true(chardev_open_words(f->set, "b", "chardev:a", &other, &err));
    assert_ptr_equal(other, chardev);
    assert_false(chardev_open_words(f->set, "b", "chardev:z", &other, &err));
    assert_string_equal(err.text, "there is no character back end 'z'");
    assert_false(chardev_open_words(f->set, "b", "vc", &other, &err));
    assert_false(chardev_open_words(f->set, "b", "tcp:4444", &other, &err));
    assert_string_equal(err.text, "'4444' is no HOST:PORT");
    assert_false(chardev_open_words(f->set, "b", "nonsense", &other, &err));
    assert_non_null(strstr(err.text, "'nonsense' is not a character device; there are none"));

    assert_true(chardev_open_words(f->set, "f", file, &chardev, &err));
    assert_true(chardev_open_words(f->set, "s", server, &chardev, &err));
    assert_true(chardev_open_words(f->set, "m", "mon:ringbuf", &chardev, &err));
    assert_true(chardev_is_mux(chardev));
    assert_true(chardev_open_words(f->set, "t", "tcp::0,server=on,wait=off", &chardev, &err));
    assert_true(chardev_open_words(f->set, "u", "udp::9@:0", &chardev, &err));

    struct strbuf text;
    strbuf_init(&text);
    chardevs_print(f->set, &text);
    assert_non_null(strstr(text.data, "a: filename=null\n"));
    assert_non_null(strstr(text.data, "m: filename=mux\n"));
    assert_non_null(strstr(text.data, "t: filename=disconnected:tcp:127.0.0.1:"));
    assert_non_null(strstr(text.data, "u: filename=udp:127.0.0.1:9\n"));
    assert_non_null(strstr(text.data, "/s,server=on\n"));
    strbuf_free(&text);
    char *path = mem_format("%s/with,comma", f->folder);
    assert_int_equal(access(path, F_OK), 0);
    free(path);
    free(file);
    free(server);
}

/* --- back ends --- */

static void file_and_log(void **state)
{
    struct fixture *f = *state;
    char path[128], log[128], text[64];
    struct user user;

    snprintf(path, sizeof path, "%s/out", f->folder);
    snprintf(log, sizeof log, "%s/log", f->folder);
    struct chardev *chardev = open_it(f, "file,id=a,path=%s,logfile=%s", path, log);
    user_init(&user, chardev);
    assert_int_equal(user.opened, 1);
    assert_int_equal(chardev_write(&user.front, "hello", 5), 5);
    read_file(path, text, sizeof text);
    assert_string_equal(text, "hello");
    read_file(log, text, sizeof text);
    assert_string_equal(text, "hello");

    struct user more;
    user_init(&more, open_it(f, "file,id=b,path=%s/two,append=on,input-path=%s", f->folder, path));
    until_received(f, &more, 5);
    assert_string_equal(more.in.data, "hello");
    user_free(&more);

    /* One front end at a time. */
    struct chardev_front second = {.opaque = NULL};
    struct error err;
    assert_false(chardev_attach(&second, chardev, &err));
    assert_string_equal(err.text,
                        "the character back end 'a' is in use; with mux=on several can share it");
    chardev_detach(&user.front);
    assert_true(chardev_attach(&second, chardev, &err));
    /* Nobody: it is gone. */
    assert_int_equal(chardev_write(&user.front, "x", 1), 1);
    chardev_detach(&second);
    user_free(&user);
}

static void ring(void **state)
{
    struct fixture *f = *state;
    struct user user;
    struct strbuf bytes;
    struct chardev *chardev = open_it(f, "ringbuf,id=a,size=8");

    strbuf_init(&bytes);
    user_init(&user, chardev);
    assert_int_equal(chardev_write(&user.front, "0123456789", 10), 10);
    assert_true(chardev_ring_read(chardev, 3, &bytes));
    assert_string_equal(bytes.data, "234");
    assert_true(chardev_ring_read(chardev, 100, &bytes));
    assert_string_equal(bytes.data, "23456789");
    assert_false(chardev_ring_read(open_it(f, "null,id=b"), 1, &bytes));
    strbuf_free(&bytes);
    user_free(&user);
}

static void pipes(void **state)
{
    struct fixture *f = *state;
    char in[128], out[128], text[8] = "";
    struct user user;
    struct error err;

    snprintf(in, sizeof in, "pipe,id=a,path=%s/p", f->folder);
    assert_null(chardev_open(f->set, in, &err));
    assert_non_null(strstr(err.text, "mkfifo makes them"));
    snprintf(in, sizeof in, "%s/p.in", f->folder);
    snprintf(out, sizeof out, "%s/p.out", f->folder);
    assert_int_equal(mkfifo(in, 0600) | mkfifo(out, 0600), 0);
    user_init(&user, open_it(f, "pipe,id=a,path=%s/p", f->folder));
    int write_end = open(in, O_RDWR), read_end = open(out, O_RDWR);
    assert_int_equal(write(write_end, "in", 2), 2);
    until_received(f, &user, 2);
    assert_int_equal(chardev_write(&user.front, "out", 3), 3);
    until_read(f, read_end, text, 3);
    assert_string_equal(text, "out");

    /* A front end that has no room leaves what comes where it is. */
    user.room = 0;
    assert_int_equal(write(write_end, "later", 5), 5);
    for (int i = 0; i < 3; i++) {
        loop_step(f->loop, MILLISECOND);
    }
    assert_int_equal(user.in.len, 2);
    user.room = 100;
    chardev_accept_input(&user.front);
    until_received(f, &user, 7);
    assert_string_equal(user.in.data, "inlater");
    close(write_end);
    close(read_end);
    user_free(&user);
}

static void pseudo_terminal(void **state)
{
    struct fixture *f = *state;
    struct user user;
    struct strbuf text;
    char got[4] = "";

    /* Its name is printed. */
    int saved = dup(STDOUT_FILENO), quiet = open("/dev/null", O_WRONLY);
    fflush(stdout);
    dup2(quiet, STDOUT_FILENO);
    struct chardev *chardev = open_it(f, "pty,id=a");
    dup2(saved, STDOUT_FILENO);
    close(saved);
    close(quiet);
    user_init(&user, chardev);
    assert_int_equal(user.opened, 0);
    assert_int_equal(chardev_write(&user.front, "lost", 4), 4);
    strbuf_init(&text);
    chardevs_print(f->set, &text);
    char *name = strchr(text.data, '/');
    name[strcspn(name, "\n")] = 0;
    for (unsigned round = 1; round <= 2; round++) {
        int fd = open(name, O_RDWR | O_NOCTTY);
        assert_true(fd >= 0);
        for (int i = 0; i < 50 && user.opened < round; i++) {
            loop_step(f->loop, 100 * MILLISECOND);
        }
        assert_int_equal(user.opened, round);
        assert_int_equal(chardev_write(&user.front, "a\r\n", 3), 3);
        until_read(f, fd, got, 3);
        assert_string_equal(got, "a\r\n");
        assert_int_equal(write(fd, "\003k", 2), 2); /* raw: no signal, no echo */
        until_received(f, &user, 2 * round);
        close(fd);
        for (int i = 0; i < 50 && user.closed < round; i++) {
            loop_step(f->loop, 100 * MILLISECOND);
        }
        assert_int_equal(user.closed, round);
    }
    strbuf_free(&text);
    user_free(&user);
}

/* --- sockets --- */

static int connect_unix(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    strcpy(address.sun_path, path);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static void until_open(struct fixture *f, struct user *user, bool open)
{
    for (int i = 0; i < 200 && chardev_is_open(&user->front) != open; i++) {
        loop_step(f->loop, 50 * MILLISECOND);
    }
    assert_int_equal(chardev_is_open(&user->front), open);
}

static void unix_server(void **state)
{
    struct fixture *f = *state;
    char path[128], text[8] = "";
    struct user user;
    struct stat status;

    snprintf(path, sizeof path, "%s/s", f->folder);
    user_init(&user, open_it(f, "socket,id=a,path=%s,server=on,wait=off", path));
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    assert_int_equal(chardev_write(&user.front, "nobody", 6), 6);
    for (unsigned round = 1; round <= 2; round++) {
        int fd = connect_unix(path);
        until_open(f, &user, true);
        assert_int_equal(write(fd, "ab", 2), 2);
        until_received(f, &user, 2 * round);
        assert_int_equal(chardev_write(&user.front, "xyz", 3), 3);
        until_read(f, fd, text, 3);
        assert_string_equal(text, "xyz");
        close(fd);
        until_open(f, &user, false);
        assert_int_equal(user.opened, round);
        assert_int_equal(user.closed, round);
    }
    user_free(&user);
    /* A second machine does not take it away; after an end without clean-up it can be had again. */
    struct error err;
    char words[192];
    snprintf(words, sizeof words, "socket,id=b,path=%s,server=on,wait=off", path);
    assert_null(chardev_open(f->set, words, &err));
    assert_non_null(strstr(err.text, "Address already in use"));
}

static void tcp_both_ways(void **state)
{
    struct fixture *f = *state;
    struct user server, client;
    struct strbuf text;

    user_init(&server, open_it(f, "socket,id=a,port=0,server,nowait,nodelay"));
    strbuf_init(&text);
    chardevs_print(f->set, &text);
    unsigned port = (unsigned)atoi(strstr(text.data, "127.0.0.1:") + strlen("127.0.0.1:"));
    strbuf_free(&text);
    user_init(&client, open_it(f, "socket,id=b,host=127.0.0.1,port=%u", port));
    assert_true(chardev_is_open(&client.front));
    until_open(f, &server, true);
    assert_int_equal(chardev_write(&client.front, "ping", 4), 4);
    until_received(f, &server, 4);
    assert_int_equal(chardev_write(&server.front, "pong!", 5), 5);
    until_received(f, &client, 5);
    assert_string_equal(client.in.data, "pong!");
    user_free(&server);
    user_free(&client);
}

static void telnet(void **state)
{
    struct fixture *f = *state;
    char path[128], text[16] = "";
    struct user user;

    snprintf(path, sizeof path, "%s/s", f->folder);
    user_init(&user, open_it(f, "socket,id=a,path=%s,server=on,wait=off,telnet=on", path));
    int fd = connect_unix(path);
    until_open(f, &user, true);
    until_read(f, fd, text, 12);
    assert_memory_equal(text, "\xff\xfb\x01\xff\xfb\x03\xff\xfb\x00\xff\xfd\x00", 12);
    /* An option, a suboption, IAC itself, a break. */
    assert_int_equal(write(fd,
                           "a\xff\xfd\x03z\xff\xfa\x18\x01\xff\xf0\xff\xff"
                           "b\xff\xf3",
                           16),
                     16);
    until_received(f, &user, 4);
    assert_memory_equal(user.in.data,
                        "az\xff"
                        "b",
                        4);
    assert_int_equal(user.breaks, 1);
    assert_int_equal(chardev_write(&user.front, "\xff\x01\xff", 3), 3);
    until_read(f, fd, text, 5);
    assert_memory_equal(text, "\xff\xff\x01\xff\xff", 5);
    close(fd);
    user_free(&user);
}

static void reconnects(void **state)
{
    struct fixture *f = *state;
    char path[128];
    struct user user, server;

    snprintf(path, sizeof path, "%s/s", f->folder);
    user_init(&user, open_it(f, "socket,id=a,path=%s,reconnect=1", path));
    assert_false(chardev_is_open(&user.front));
    user_init(&server, open_it(f, "socket,id=b,path=%s,server=on,wait=off", path));
    until_open(f, &user, true);
    assert_int_equal(chardev_write(&user.front, "hi", 2), 2);
    until_received(f, &server, 2);
    user_free(&user);
    user_free(&server);
}

static void datagrams(void **state)
{
    struct fixture *f = *state;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct sockaddr_in from;
    socklen_t length = sizeof address;
    struct user user;
    char text[8] = "";
    int fd = socket(AF_INET, SOCK_DGRAM, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    getsockname(fd, (struct sockaddr *)&address, &length);
    user_init(&user, open_it(f, "udp,id=a,port=%u", ntohs(address.sin_port)));
    assert_int_equal(chardev_write(&user.front, "dgram", 5), 5);
    assert_int_equal(recvfrom(fd, text, sizeof text, 0, (struct sockaddr *)&from, &length), 5);
    user.room = 2;
    assert_int_equal(sendto(fd, "back", 4, 0, (struct sockaddr *)&from, length), 4);
    until_received(f, &user, 2);
    user.room = 9;
    chardev_accept_input(&user.front);
    until_received(f, &user, 4);
    assert_string_equal(user.in.data, "back");
    close(fd);
    user_free(&user);
}

/* --- a slow reader --- */

static void slow_reader(void **state)
{
    struct fixture *f = *state;
    static char block[65536], got[65536];
    char path[128];
    struct user user;
    size_t sent = 0, seen = 0;

    snprintf(path, sizeof path, "%s/s", f->folder);
    user_init(&user, open_it(f, "socket,id=a,path=%s,server=on,wait=off", path));
    int fd = connect_unix(path);
    until_open(f, &user, true);
    /* Until nothing more is taken; it never waits. */
    for (int i = 0; i < 1000; i++) {
        for (size_t at = 0; at < sizeof block; at++) {
            block[at] = (char)((sent + at) * 7 + (sent + at) / 251);
        }
        size_t n = chardev_write(&user.front, block, sizeof block);
        sent += n;
        if (n < sizeof block) {
            break;
        }
    }
    assert_true(sent >= 1 << 20 && sent < 4 << 20);
    assert_int_equal(chardev_write(&user.front, "x", 1), 0);
    assert_int_equal(user.writable, 0);
    while (seen < sent) {
        size_t count = sent - seen < sizeof got ? sent - seen : sizeof got;
        until_read(f, fd, got, count);
        for (size_t at = 0; at < count; at++) {
            assert_int_equal(got[at], (char)((seen + at) * 7 + (seen + at) / 251));
        }
        seen += count;
    }
    loop_step(f->loop, 0);
    assert_int_equal(user.writable, 1);
    assert_int_equal(chardev_write(&user.front, "x", 1), 1);

    /* Who leaves takes his queue with him. */
    while (chardev_write(&user.front, block, sizeof block) == sizeof block) {
    }
    close(fd);
    until_open(f, &user, false);
    assert_int_equal(user.writable, 2);
    assert_int_equal(chardev_write(&user.front, block, sizeof block), sizeof block);
    user_free(&user);
}

/* --- the multiplexer --- */

static void on_quit(void *opaque)
{
    *(bool *)opaque = true;
}

static void multiplexer(void **state)
{
    struct fixture *f = *state;
    char path[128], text[512] = "";
    struct user serial, monitor;

    chardevs_on_quit(f->set, on_quit, &f->quit);
    snprintf(path, sizeof path, "%s/s", f->folder);
    struct chardev *chardev = open_it(f, "socket,id=a,path=%s,server=on,wait=off,mux=on", path);
    user_init(&serial, chardev);
    user_init(&monitor, chardev);
    assert_int_equal(serial.mux_in, 1);
    assert_int_equal(monitor.mux_out, 1);
    int fd = connect_unix(path);
    until_open(f, &serial, true);
    assert_int_equal(monitor.opened, 1);

    assert_int_equal(write(fd, "s1\001cm1\001\001\001bx\001cs2", 15), 15);
    until_received(f, &serial, 4);
    until_received(f, &monitor, 4);
    assert_string_equal(serial.in.data, "s1s2");
    assert_string_equal(monitor.in.data, "m1\001x");
    assert_int_equal(monitor.breaks, 1);
    assert_int_equal(monitor.mux_in, 1);
    chardev_focus(&monitor.front);
    assert_int_equal(monitor.mux_in, 2);
    chardev_focus(&serial.front);

    assert_int_equal(chardev_write(&serial.front, "A", 1), 1);
    assert_int_equal(chardev_write(&monitor.front, "B", 1), 1);
    until_read(f, fd, text, 2);
    assert_memory_equal(text, "AB", 2);
    assert_int_equal(write(fd, "\001h", 2), 2);
    until_read(f, fd, text, 20);
    assert_memory_equal(text, "\n\rC-a h    print this", 20);

    /* The guest does not listen: what is typed is kept, and the keys still work. */
    serial.room = 0;
    assert_int_equal(write(fd, "kept\001x", 6), 6);
    for (int i = 0; i < 100 && !f->quit; i++) {
        loop_step(f->loop, 10 * MILLISECOND);
    }
    assert_true(f->quit);
    serial.room = 100;
    chardev_accept_input(&serial.front);
    assert_string_equal(serial.in.data, "s1s2kept");

    /* What was typed at the guest stays the guest's. */
    serial.room = 0;
    assert_int_equal(write(fd, "late\001cnow", 9), 9);
    until_received(f, &monitor, 7);
    assert_string_equal(monitor.in.data, "m1\001xnow");
    serial.room = 100;
    chardev_accept_input(&serial.front);
    assert_string_equal(serial.in.data, "s1s2keptlate");
    close(fd);
    user_free(&serial);
    user_free(&monitor);
}

static void time_stamps(void **state)
{
    struct fixture *f = *state;
    struct user user;
    struct strbuf bytes;
    int fd[2];

    strbuf_init(&bytes);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
    user_init(&user, open_it(f, "socket,id=a,fd=%d,mux=on", fd[0]));
    assert_int_equal(write(fd[1], "\001tz", 3), 3);
    until_received(f, &user, 1);
    assert_int_equal(chardev_write(&user.front, "a\nb", 3), 3);
    char text[64] = "";
    until_read(f, fd[1], text, 2 * strlen("[00:00:00.000] ") + 3);
    assert_memory_equal(text, "[00:00:0", 8);
    assert_memory_equal(text + 15, "a\n[00:00:0", 10);
    close(fd[1]);
    strbuf_free(&bytes);
    user_free(&user);
}

/* --- standard input and output --- */

/* A child with the terminal `name` as its own; opens stdio and waits for a key. */
static int stdio_child(const char *name, const char *words, int ready)
{
    struct loop *loop = loop_new(NULL);
    struct chardevs *set = chardevs_new(loop);
    struct user user;

    setsid();
    int fd = open(name, O_RDWR);
    dup2(fd, 0);
    dup2(fd, 1);
    close(fd);
    struct chardev *chardev;
    if (!chardev_open_words(set, "s", words, &chardev, NULL)) {
        return 9;
    }
    user_init(&user, chardev);
    if (write(ready, "r", 1) != 1) {
        return 8;
    }
    while (!user.in.len) {
        loop_step(loop, TIMER_NEVER);
    }
    chardev_write(&user.front, user.in.data, user.in.len);
    if (user.in.data[0] == 'e') {
        exit(3); /* without clean-up */
    }
    user_free(&user);
    chardevs_free(set);
    loop_free(loop);
    return 4;
}

static void standard_terminal(void **state)
{
    static const struct {
        const char *words, *type;
        int status; /* of wait() */
    } rows[] = {
        {"stdio", "x", 4 << 8},
        {"stdio", "e", 3 << 8},
        {"mon:stdio", "\003", 4 << 8}, /* Ctrl-C is the guest's */
        {"stdio", "\003", SIGINT},     /* it is the program's */
    };
    (void)state;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int master = posix_openpt(O_RDWR | O_NOCTTY), ready[2], status;
        char name[64], byte;
        struct termios before, during, after;

        assert_true(master >= 0 && !grantpt(master) && !unlockpt(master) && !pipe(ready));
        ptsname_r(master, name, sizeof name);
        int slave = open(name, O_RDWR | O_NOCTTY);
        tcgetattr(slave, &before);
        pid_t child = fork();
        if (!child) {
            alarm(20);
            _exit(stdio_child(name, rows[i].words, ready[1]));
        }
        close(ready[1]);
        assert_int_equal(read(ready[0], &byte, 1), 1);
        tcgetattr(slave, &during);
        assert_false(during.c_lflag & (ICANON | ECHO));
        assert_int_equal(write(master, rows[i].type, 1), 1);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, rows[i].status);
        tcgetattr(slave, &after);
        assert_int_equal(after.c_lflag, before.c_lflag);
        assert_int_equal(after.c_iflag, before.c_iflag);
        close(slave);
        close(master);
        close(ready[0]);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(refused_words), TEST(short_words),     TEST(file_and_log),      TEST(ring),
        TEST(pipes),         TEST(pseudo_terminal), TEST(unix_server),       TEST(tcp_both_ways),
        TEST(telnet),        TEST(reconnects),      TEST(datagrams),         TEST(slow_reader),
        TEST(multiplexer),   TEST(time_stamps),     TEST(standard_terminal),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
