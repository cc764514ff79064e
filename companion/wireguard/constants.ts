/**
 * The numbers of WireGuard. "Specification" may not be changed: a peer counts on them. "Implementation" is ours to tune.
 * Times are milliseconds, sizes bytes. Source: whitepaper §5.4 and §6.1; kernel messages.h; wireguard-go constants.go.
 */

// --- Specification: names hashed into every handshake (whitepaper §5.4) ---
export const CONSTRUCTION = 'Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s';
export const IDENTIFIER = 'WireGuard v1 zx2c4 Jason@zx2c4.com';
export const LABEL_MAC1 = 'mac1----';
export const LABEL_COOKIE = 'cookie--';

// --- Specification: timers and limits (whitepaper §6.1) ---
export const REKEY_AFTER_TIME = 120_000;
export const REJECT_AFTER_TIME = 180_000;
export const REKEY_ATTEMPT_TIME = 90_000;
export const REKEY_TIMEOUT = 5_000;
export const KEEPALIVE_TIMEOUT = 10_000;
export const COOKIE_SECRET_LIFETIME = 120_000;
/** REKEY_AFTER_MESSAGES is 2^60: the low word is zero, so the high word alone decides. */
export const REKEY_AFTER_MESSAGES_HI = 0x1000_0000;
/** REJECT_AFTER_MESSAGES is 2^64 - 2^13 - 1, as two words. A counter equal to it is refused. */
export const REJECT_AFTER_MESSAGES_HI = 0xffff_ffff;
export const REJECT_AFTER_MESSAGES_LO = 0xffff_dfff;

// --- Specification: message types and sizes (whitepaper §5.4.2 to §5.4.7) ---
export const MESSAGE_INITIATION = 1;
export const MESSAGE_RESPONSE = 2;
export const MESSAGE_COOKIE_REPLY = 3;
export const MESSAGE_TRANSPORT = 4;
export const INITIATION_SIZE = 148;
export const RESPONSE_SIZE = 92;
export const COOKIE_REPLY_SIZE = 64;
export const TRANSPORT_HEADER_SIZE = 16;
export const KEEPALIVE_SIZE = 32;
export const TAG_SIZE = 16;
export const KEY_SIZE = 32;
export const PADDING_MULTIPLE = 16;

// --- Implementation: the values that every other implementation has settled on ---
export const REKEY_TIMEOUT_JITTER = 334;
/** Retransmissions after the first: 90 s / 5 s, counted as wireguard-go does, so that 20 initiations leave in all. */
export const MAX_TIMER_HANDSHAKES = REKEY_ATTEMPT_TIME / REKEY_TIMEOUT;
/** A receiving initiator renews while there is still time for a whole exchange before the session dies. */
export const REKEY_AFTER_TIME_RECEIVING = REJECT_AFTER_TIME - KEEPALIVE_TIMEOUT - REKEY_TIMEOUT;
export const NEW_HANDSHAKE_TIME = KEEPALIVE_TIMEOUT + REKEY_TIMEOUT;
export const WIPE_AFTER_TIME = REJECT_AFTER_TIME * 3;
/** The least time between two initiations of one peer that a responder will work for: 50 a second. */
export const INITIATION_INTERVAL = 20;
/** Ring of RFC 6479; one word of it is always being cleared, so the usable window is smaller by 64. */
export const REPLAY_RING_BITS = 8192;
export const REPLAY_WINDOW = REPLAY_RING_BITS - 64;
export const MAX_STAGED_PACKETS = 128;
/** Endpoint as the parts hand it around: 16 bytes of address (IPv4 as ::ffff:a.b.c.d), then the port, big-endian. */
export const ENDPOINT_SIZE = 18;

// --- Implementation: load (kernel and wireguard-go: an eighth of the handshake queue; 20 a second, bursts of 5) ---
export const HANDSHAKE_QUEUE_SIZE = 1024;
export const UNDER_LOAD_QUEUE = HANDSHAKE_QUEUE_SIZE / 8;
export const UNDER_LOAD_TIME = 1_000;
/** Handshake messages a second that we take on before cookies are asked for; one costs about 1 ms. */
export const HANDSHAKE_RATE = 256;
export const HANDSHAKES_PER_SECOND = 20;
export const HANDSHAKE_BURST = 5;
export const LIMITER_ENTRIES = 65_536;
