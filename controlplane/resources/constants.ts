/** Numbers and names that Envoy, the companion and the filter agree on (design, "Contracts"), and our own choices. */

// --- Contract ---

/** PROXY protocol v2 TLV types, from the range for applications (proxy-protocol.txt §2.2.7 PP2_TYPE_MIN_CUSTOM). */
export const TLV_DESTINATION = 0xe0;
export const TLV_KEY = 0xe1;
export const TLV_PEER_PUBLIC_KEY = 0xe2;
export const TLV_CONNECTION_ID = 0xe3;

/** Namespace of the dynamic metadata that ingress connections carry. */
export const METADATA_NAMESPACE = 'nexodus';

/** The filter state that the filter sets, as an access log operator. */
export const KEY_OPERATOR = '%FILTER_STATE(wasm.nexodus.key:PLAIN)%';

/** One VM for all proxy keys. */
export const VM_ID = 'nexodus';

/** struct sockaddr_un has room for 108 bytes, of which the last is NUL. */
export const LONGEST_SOCKET_PATH = 107;

// --- Our choices ---

/** Bytes that Envoy buffers per connection and direction before it stops reading: its own default, said aloud. */
export const BUFFER_BYTES = 1 << 20;

/** Connections of one key. Envoy's default of 1024 is for HTTP; what bounds us is the number of file descriptors. */
export const MOST_TCP_CONNECTIONS = 1 << 20;

/** UDP sessions of one key; each is a socket of Envoy's. */
export const MOST_UDP_SESSIONS = 1 << 14;

export const CONNECT_TIMEOUT_SECONDS = 5;

/**
 * How long a listener waits for its policy before it binds without it and closes each connection (it never opens). Envoy's
 * default of 15 s would hold back the start of everything for a control plane that has gone.
 */
export const POLICY_TIMEOUT_SECONDS = 2;

/** The companion sends its PROXY header at once. */
export const HEADER_TIMEOUT_SECONDS = 5;

/** Local services to try for one ingress connection. A constant: were it their number, an edit of them would drain the listener. */
export const INGRESS_CONNECT_ATTEMPTS = 5;

export const UDP_IDLE_SECONDS = 60;

/** Envoy drops a datagram that fills the buffer; the largest of IPv4 and IPv6 without jumbograms are 65,507 and 65,527 bytes. */
export const LARGEST_DATAGRAM = 65_535;

/** Idle seconds after which the kernel probes a client: without an idle timeout, a client that vanished would stay for ever. */
export const KEEPALIVE_SECONDS = 300;
export const KEEPALIVE_INTERVAL_SECONDS = 30;
export const KEEPALIVE_PROBES = 4;
