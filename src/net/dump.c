/* SPDX-License-Identifier: MIT
 *
 * Frames of a wire into a file, as `-object filter-dump` asks for: the classic pcap format, which
 * tcpdump and Wireshark read, with times of the machine's clock. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/option.h"
#include "net/internal.h"

enum {
    PCAP_MAGIC = 0xa1b2c3d4, /* microseconds */
    PCAP_MAJOR = 2,
    PCAP_MINOR = 4,
    PCAP_ETHERNET = 1,
    MAXLEN = 65536,
};

struct pcap_header {
    uint32_t magic;
    uint16_t major, minor;
    uint32_t zone, accuracy, maxlen, link;
};

struct pcap_frame {
    uint32_t seconds, microseconds, kept, size;
};

struct net_dump {
    FILE *file;
    uint32_t maxlen;
    struct net_dump *next;
};

/* A disk that is full ends the file, not the machine. */
static void put(struct net_dump *dump, const void *bytes, size_t size)
{
    if (dump->file && size && fwrite(bytes, 1, size, dump->file) < size) {
        fclose(dump->file);
        dump->file = NULL;
    }
}

void net_dump(struct net_end *end, const uint8_t *frame, size_t size)
{
    for (struct net_dump *dump = end->dumps; dump; dump = dump->next) {
        uint64_t now = clock_now(end->nets->clock) / 1000;
        uint32_t kept = size < dump->maxlen ? (uint32_t)size : dump->maxlen;
        struct pcap_frame header = {(uint32_t)(now / 1000000), (uint32_t)(now % 1000000), kept,
                                    (uint32_t)size};
        put(dump, &header, sizeof header);
        put(dump, frame, kept);
    }
}

void net_dump_close(struct net_end *end)
{
    while (end->dumps) {
        struct net_dump *dump = end->dumps;
        end->dumps = dump->next;
        if (dump->file) {
            fclose(dump->file);
        }
        free(dump);
    }
}

bool net_dump_open(struct nets *nets, const struct option_list *options, struct error *err)
{
    static const char words[] = " qom-type id netdev file maxlen ";
    const char *type = net_option_value(options, "qom-type");
    const char *netdev = net_option_value(options, "netdev");
    const char *path = net_option_value(options, "file");
    const char *maxlen = net_option_value(options, "maxlen");
    uint64_t most = MAXLEN;

    if (!type || strcmp(type, "filter-dump")) {
        return error_set(err, "there is no object '%s'; there is filter-dump", type ? type : "");
    }
    for (size_t i = 0; i < options->count; i++) {
        char *key = mem_format(" %s ", options->pair[i].key);
        bool known = strstr(words, key);
        free(key);
        if (!known) {
            return error_set(err, "Invalid parameter '%s'", options->pair[i].key);
        }
    }
    if (!net_option_value(options, "id") || !netdev || !path) {
        return error_set(err, "Parameter '%s' is missing",
                         !netdev ? "netdev"
                         : !path ? "file"
                                 : "id");
    }
    if (maxlen && !option_number("maxlen", maxlen, 1, MAXLEN, &most, err)) {
        return false;
    }
    struct net_end *end = net_find(nets, netdev);
    if (!end) {
        return error_set(err, "netdev '%s' not found", netdev);
    }
    FILE *file = fopen(path, "wbe");
    if (!file) {
        return error_set(err, "%s: %s", path, strerror(errno));
    }
    struct net_dump *dump = mem_alloc(sizeof *dump);
    struct pcap_header header = {PCAP_MAGIC, PCAP_MAJOR,     PCAP_MINOR,   0,
                                 0,          (uint32_t)most, PCAP_ETHERNET};
    /* Whoever looks at the file sees whole frames. */
    setvbuf(file, NULL, _IONBF, 0);
    dump->file = file;
    dump->maxlen = (uint32_t)most;
    dump->next = end->dumps;
    end->dumps = dump;
    put(dump, &header, sizeof header);
    return true;
}
