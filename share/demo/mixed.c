/*
 * The demo program: seven kernels of different kinds, integer and floating point, in cache and out of it.
 * Each checks its own result against a published value or a property that only the right result has, and
 * prints one line. The output is the same on every machine; the exit status is the number of kernels that
 * failed.
 */
#include "runtime.h"

static int failed;

static void begin(const char *name, uint64_t work, const char *unit)
{
    put_text(name);
    put_count(work, 12);
    put_text(unit);
}

static void end(int right)
{
    put_text(right ? "  ok" : "  WRONG");
    line_end();
    failed += !right;
}

/* xorshift64*: Vigna, "An experimental exploration of Marsaglia's xorshift generators", 2016. */
static uint64_t seed;

static uint64_t next_random(void)
{
    seed ^= seed >> 12;
    seed ^= seed << 25;
    seed ^= seed >> 27;
    return seed * 0x2545f4914f6cdd1du;
}

/* ---- SHA-256 (FIPS 180-4) ----------------------------------------------------------------------------- */

static const uint32_t sha_constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t rotate_right(uint32_t x, int n)
{
    return x >> n | x << (32 - n);
}

/* The digest of one block of 16 big-endian words. */
static void sha_block(uint32_t digest[8], const uint32_t block[16])
{
    static const uint32_t initial[8] = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                         0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19 };
    uint32_t w[64], s[8];
    for (int i = 0; i < 16; i++)
        w[i] = block[i];
    for (int i = 16; i < 64; i++) {
        uint32_t s0 = rotate_right(w[i - 15], 7) ^ rotate_right(w[i - 15], 18) ^ w[i - 15] >> 3;
        uint32_t s1 = rotate_right(w[i - 2], 17) ^ rotate_right(w[i - 2], 19) ^ w[i - 2] >> 10;
        w[i] = w[i - 16] + s0 + w[i - 7] + s1;
    }
    for (int i = 0; i < 8; i++)
        s[i] = initial[i];
    for (int i = 0; i < 64; i++) {
        uint32_t s1 = rotate_right(s[4], 6) ^ rotate_right(s[4], 11) ^ rotate_right(s[4], 25);
        uint32_t t1 = s[7] + s1 + ((s[4] & s[5]) ^ (~s[4] & s[6])) + sha_constants[i] + w[i];
        uint32_t s0 = rotate_right(s[0], 2) ^ rotate_right(s[0], 13) ^ rotate_right(s[0], 22);
        uint32_t t2 = s0 + ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
        s[7] = s[6], s[6] = s[5], s[5] = s[4], s[4] = s[3] + t1;
        s[3] = s[2], s[2] = s[1], s[1] = s[0], s[0] = t1 + t2;
    }
    for (int i = 0; i < 8; i++)
        digest[i] = initial[i] + s[i];
}

/* Hashes "abc", then the 32 bytes of each digest again. */
static void sha256_chain(void)
{
    enum { LINKS = 1000000 };
    uint32_t digest[8];
    uint32_t block[16] = { [0] = 0x61626380, [15] = 24 };
    sha_block(digest, block);
    /* FIPS 180-4's own example. */
    int right = digest[0] == 0xba7816bf && digest[7] == 0xf20015ad;
    block[8] = 0x80000000, block[15] = 256;
    for (int link = 0; link < LINKS; link++) {
        for (int i = 0; i < 8; i++)
            block[i] = digest[i];
        sha_block(digest, block);
    }
    begin("sha-256       ", LINKS, " blocks    digest ");
    for (int i = 0; i < 3; i++)
        put_hex(digest[i], 8);
    /* From Python's hashlib. */
    end(right && digest[0] == 0x3fc9cfa0 && digest[1] == 0x0ab6dadd && digest[2] == 0xd81ecaa4);
}

/* ---- Sieve of Eratosthenes, odd numbers only ---------------------------------------------------------- */

static void sieve(void)
{
    enum { LIMIT = 50000000, ODDS = LIMIT / 2 };
    uint8_t *composite = pages_get(ODDS);
    uint32_t count = 1, last = 2;
    for (uint32_t i = 1; i < ODDS; i++) {
        if (composite[i])
            continue;
        uint32_t prime = 2 * i + 1;
        count++;
        last = prime;
        for (uint64_t j = (uint64_t)prime * prime / 2; j < ODDS; j += prime)
            composite[j] = 1;
    }
    pages_put(composite, ODDS);
    begin("primes        ", LIMIT, " numbers   ");
    put_count(count, 0);
    put_text(" primes, last ");
    put_count(last, 0);
    /* As in tables of pi(x). */
    end(count == 3001134 && last == 49999991);
}

/* ---- Matrix product ----------------------------------------------------------------------------------- */

enum { N = 512 };

/* y = M x. Small integers: every sum is exact in a double, whatever the order. */
static void apply(double *y, const double *m, const double *x)
{
    for (int i = 0; i < N; i++) {
        y[i] = 0;
        for (int j = 0; j < N; j++)
            y[i] += m[i * N + j] * x[j];
    }
}

static void matrix(void)
{
    enum { BYTES = 3 * N * N * sizeof(double) };
    double *a = pages_get(BYTES), *b = a + N * N, *c = b + N * N;
    static double x[N], bx[N], abx[N], cx[N];
    seed = 3;
    for (int i = 0; i < 2 * N * N; i++)
        a[i] = (double)(next_random() >> 48) - 32768;
    for (int i = 0; i < N; i++)
        for (int k = 0; k < N; k++)
            for (int j = 0; j < N; j++)
                c[i * N + j] += a[i * N + k] * b[k * N + j];
    /* Freivalds' check: (A B) x = A (B x) for a random x. */
    for (int i = 0; i < N; i++)
        x[i] = (double)(next_random() >> 62);
    apply(bx, b, x);
    apply(abx, a, bx);
    apply(cx, c, x);
    int right = 1;
    int64_t trace = 0, integer_trace = 0;
    for (int i = 0; i < N; i++) {
        right &= abx[i] == cx[i];
        trace += (int64_t)c[i * N + i];
        for (int k = 0; k < N; k++)
            integer_trace += (int64_t)a[i * N + k] * (int64_t)b[k * N + i];
    }
    pages_put(a, BYTES);
    begin("matrix        ", (uint64_t)N * N * N, " multiply-adds  trace ");
    put_text(trace < 0 ? "-" : "");
    put_count((uint64_t)(trace < 0 ? -trace : trace), 0);
    end(right && trace == integer_trace);
}

/* ---- Five bodies: Sun and the giant planets, symplectic integrator (The Computer Language Benchmarks Game)  */

struct body {
    double x[3], v[3], mass;
};

static double bodies_energy(const struct body *bodies)
{
    double energy = 0;
    for (int i = 0; i < 5; i++) {
        const struct body *b = &bodies[i];
        energy += 0.5 * b->mass * (b->v[0] * b->v[0] + b->v[1] * b->v[1] + b->v[2] * b->v[2]);
        for (int j = i + 1; j < 5; j++) {
            double square = 0;
            for (int k = 0; k < 3; k++)
                square += (b->x[k] - bodies[j].x[k]) * (b->x[k] - bodies[j].x[k]);
            energy -= b->mass * bodies[j].mass / __builtin_sqrt(square);
        }
    }
    return energy;
}

static void bodies_step(struct body *bodies, double dt)
{
    for (int i = 0; i < 5; i++) {
        for (int j = i + 1; j < 5; j++) {
            double d[3], square = 0;
            for (int k = 0; k < 3; k++) {
                d[k] = bodies[i].x[k] - bodies[j].x[k];
                square += d[k] * d[k];
            }
            double magnitude = dt / (square * __builtin_sqrt(square));
            for (int k = 0; k < 3; k++) {
                bodies[i].v[k] -= d[k] * bodies[j].mass * magnitude;
                bodies[j].v[k] += d[k] * bodies[i].mass * magnitude;
            }
        }
    }
    for (int i = 0; i < 5; i++)
        for (int k = 0; k < 3; k++)
            bodies[i].x[k] += dt * bodies[i].v[k];
}

/* Lengths in astronomical units; speeds below are per day, masses relative to the sun's. */
static struct body bodies[5] = {
    { { 0 }, { 0 }, 1 },
    { { 4.84143144246472090e+00, -1.16032004402742839e+00, -1.03622044471123109e-01 },
      { 1.66007664274403694e-03, 7.69901118419740425e-03, -6.90460016972063023e-05 }, 9.54791938424326609e-04 },
    { { 8.34336671824457987e+00, 4.12479856412430479e+00, -4.03523417114321381e-01 },
      { -2.76742510726411021e-03, 4.99852801234917238e-03, 2.30417297573763929e-05 }, 2.85885980666130812e-04 },
    { { 1.28943695621391310e+01, -1.51111514016986312e+01, -2.23307578892655734e-01 },
      { 2.96460137564761618e-03, 2.37847173959480950e-03, -2.96589568540237556e-05 }, 4.36624404335156298e-05 },
    { { 1.53796971148509165e+01, -2.59193146099879641e+01, 1.79258772950371181e-01 },
      { 2.68067772490389322e-03, 1.62824170038242295e-03, -9.51592254519715870e-05 }, 5.15138902046611451e-05 },
};

static void n_body(void)
{
    enum { STEPS = 5000000 };
    const double solar_mass = 4 * 3.141592653589793 * 3.141592653589793, days_per_year = 365.24;
    for (int i = 0; i < 5; i++) {
        bodies[i].mass *= solar_mass;
        for (int k = 0; k < 3; k++) {
            bodies[i].v[k] *= days_per_year;
            bodies[0].v[k] -= i == 0 ? 0 : bodies[i].v[k] * bodies[i].mass / solar_mass;
        }
    }
    double before = bodies_energy(bodies);
    for (int step = 0; step < STEPS; step++)
        bodies_step(bodies, 0.01);
    double after = bodies_energy(bodies);
    begin("n-body        ", STEPS, " steps     energy ");
    put_real(before);
    put_text(" -> ");
    put_real(after);
    /* The Benchmarks Game's published output for this number of steps, to nine places. */
    end(__builtin_fabs(before - -0.169075164) < 0.5e-9 && __builtin_fabs(after - -0.169083134) < 0.5e-9);
}

/* ---- Quicksort (Hoare's partition, median of three, insertion sort for short runs) -------------------- */

static void exchange(int64_t *a, int64_t *b)
{
    int64_t t = *a;
    *a = *b;
    *b = t;
}

static void sort(int64_t *first, int64_t *last)
{
    while (last - first > 16) {
        int64_t *middle = first + (last - first) / 2;
        if (*middle < *first)
            exchange(middle, first);
        if (*last < *first)
            exchange(last, first);
        if (*last < *middle)
            exchange(last, middle);
        int64_t pivot = *middle, *i = first - 1, *j = last + 1;
        for (;;) {
            while (*++i < pivot)
                ;
            while (*--j > pivot)
                ;
            if (i >= j)
                break;
            exchange(i, j);
        }
        sort(first, j);
        first = j + 1;
    }
    for (int64_t *i = first + 1; i <= last; i++)
        for (int64_t *j = i; j > first && j[-1] > *j; j--)
            exchange(j - 1, j);
}

static void quicksort(void)
{
    enum { COUNT = 4000000, BYTES = COUNT * sizeof(int64_t) };
    int64_t *values = pages_get(BYTES);
    uint64_t sum = 0, mix = 0, sorted_sum = 0, sorted_mix = 0;
    seed = 5;
    for (int i = 0; i < COUNT; i++) {
        values[i] = (int64_t)next_random();
        sum += (uint64_t)values[i];
        mix ^= (uint64_t)values[i] * 0x9e3779b97f4a7c15u;
    }
    sort(values, values + COUNT - 1);
    int right = 1;
    for (int i = 0; i < COUNT; i++) {
        right &= i == 0 || values[i - 1] <= values[i];
        sorted_sum += (uint64_t)values[i];
        sorted_mix ^= (uint64_t)values[i] * 0x9e3779b97f4a7c15u;
    }
    begin("quicksort     ", COUNT, " numbers   median ");
    put_hex((uint64_t)values[COUNT / 2], 16);
    pages_put(values, BYTES);
    end(right && sum == sorted_sum && mix == sorted_mix);
}

/* ---- LZ77: greedy matches found through a hash table -------------------------------------------------- */

/* A token is literals (0, count - 1, bytes) or a match (length - 3, low, high byte of the distance - 1). */
enum { LZ_SIZE = 24 << 20, LZ_HASH_BITS = 16, LZ_LONGEST = 255 + 3, LZ_WINDOW = 65536 };

static void lz_make_text(uint8_t *text)
{
    static const char *const words[16] = {
        "tick ", "event ", "queue ", "port ", "packet ", "drain ", "thread ", "context ",
        "guest ", "host ", "memory ", "cache ", "address ", "register ", "clock ", "branch ",
    };
    size_t at = 0;
    seed = 7;
    while (at < LZ_SIZE) {
        uint64_t random = next_random();
        const char *word = words[random >> 60 & random >> 56 & 15];
        while (*word != '\0' && at < LZ_SIZE)
            text[at++] = (uint8_t)*word++;
        if (random % 8 == 0 && at < LZ_SIZE)
            text[at++] = (uint8_t)('0' + random / 8 % 10);
    }
}

static uint8_t *lz_put_literals(uint8_t *out, const uint8_t *from, const uint8_t *to)
{
    while (from < to) {
        size_t count = to - from < 256 ? (size_t)(to - from) : 256;
        *out++ = 0;
        *out++ = (uint8_t)(count - 1);
        for (; count != 0; count--)
            *out++ = *from++;
    }
    return out;
}

static size_t lz_pack(uint8_t *out, const uint8_t *in)
{
    static uint32_t recent[1 << LZ_HASH_BITS];
    uint8_t *const out_start = out;
    size_t literals = 0, at = 0;
    while (at + 4 <= LZ_SIZE) {
        uint32_t four = in[at] | in[at + 1] << 8 | in[at + 2] << 16 | (uint32_t)in[at + 3] << 24;
        uint32_t *slot = &recent[four * 2654435761u >> (32 - LZ_HASH_BITS)];
        size_t candidate = *slot, length = 0;
        *slot = (uint32_t)at;
        if (candidate < at && at - candidate <= LZ_WINDOW)
            while (length < LZ_LONGEST && at + length < LZ_SIZE && in[candidate + length] == in[at + length])
                length++;
        if (length < 4) {
            at++;
            continue;
        }
        out = lz_put_literals(out, in + literals, in + at);
        *out++ = (uint8_t)(length - 3);
        *out++ = (uint8_t)(at - candidate - 1);
        *out++ = (uint8_t)((at - candidate - 1) >> 8);
        at += length;
        literals = at;
    }
    return (size_t)(lz_put_literals(out, in + literals, in + LZ_SIZE) - out_start);
}

static size_t lz_unpack(uint8_t *out, const uint8_t *in, size_t packed)
{
    uint8_t *const out_start = out;
    for (const uint8_t *const end = in + packed; in < end;) {
        size_t first = *in++;
        if (first == 0) {
            for (size_t count = *in++ + 1u; count != 0; count--)
                *out++ = *in++;
            continue;
        }
        const uint8_t *from = out - 1 - (in[0] | in[1] << 8);
        in += 2;
        for (size_t count = first + 3; count != 0; count--)
            *out++ = *from++;
    }
    return (size_t)(out - out_start);
}

static void lz_round_trip(void)
{
    /* Literals cost at most two bytes more per 256. */
    enum { BYTES = 3 * LZ_SIZE + LZ_SIZE / 64 };
    uint8_t *text = pages_get(BYTES), *unpacked = text + LZ_SIZE, *packed = unpacked + LZ_SIZE;
    lz_make_text(text);
    size_t size = lz_pack(packed, text);
    int right = lz_unpack(unpacked, packed, size) == LZ_SIZE;
    uint32_t checksum = 2166136261u;
    for (size_t i = 0; i < LZ_SIZE; i++) {
        right &= text[i] == unpacked[i];
        checksum = (checksum ^ unpacked[i]) * 16777619u;
    }
    pages_put(text, BYTES);
    begin("compression   ", LZ_SIZE, " bytes     packed ");
    put_count(size, 0);
    put_text(", fnv ");
    put_hex(checksum, 8);
    end(right && size < LZ_SIZE / 2);
}

/* ---- Pointer chase: one random cycle through 32 MiB --------------------------------------------------- */

static void pointer_chase(void)
{
    enum { COUNT = 4 << 20, BYTES = COUNT * sizeof(uint64_t) };
    uint64_t *next = pages_get(BYTES);
    seed = 11;
    for (uint64_t i = 0; i < COUNT; i++)
        next[i] = i;
    /* Sattolo's algorithm: a permutation of one single cycle. */
    for (uint64_t i = COUNT - 1; i > 0; i--) {
        uint64_t j = next_random() % i, t = next[i];
        next[i] = next[j];
        next[j] = t;
    }
    uint64_t at = 0, halfway = 0, steps = 0;
    do {
        at = next[at];
        if (++steps == COUNT / 2)
            halfway = at;
    } while (at != 0 && steps < COUNT);
    pages_put(next, BYTES);
    begin("pointer chase ", steps, " steps     halfway ");
    put_hex(halfway, 6);
    end(at == 0 && steps == COUNT);
}

int run(void)
{
    sha256_chain();
    sieve();
    matrix();
    n_body();
    quicksort();
    lz_round_trip();
    pointer_chase();
    if (failed == 0)
        put_text("all seven results are right");
    else
        put_text("some results are WRONG");
    line_end();
    return failed;
}
