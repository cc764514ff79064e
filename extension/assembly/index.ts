// The Envoy network filter (proxy-wasm ABI 0.2.1). At each new connection it decides by the source address who may use a proxy
// key, names the key for the filters behind it (filter state `wasm.nexodus.key`) and counts. It exports no data callback:
// Envoy looks for the export and does not enter the VM for bytes.

import { ACTION_CONTINUE, ACTION_STOP, LOG_ERROR, LOG_INFO } from './abi/constants';
import {
  Block,
  closeDownstream,
  currentTime,
  increment,
  log,
  pluginConfiguration,
  property,
  setProperty,
} from './abi/host';
import { Address, parseSource } from './address';
import { configure, connect, forget, ruleOf } from './contexts';
import { Policy } from './policy';

export { proxy_abi_version_0_2_1, proxy_on_memory_allocate } from './abi/host';

const SOURCE_ADDRESS = String.UTF8.encode('source\0address');
const PEER_PUBLIC_KEY = String.UTF8.encode('metadata\0filter_metadata\0nexodus\0peer_public_key');
const KEY = String.UTF8.encode('nexodus.key');

const source = new Address();

/** The VM has no configuration of its own: it is shared by all keys. */
export function proxy_on_vm_start(_root: u32, _configurationSize: u32): u32 {
  return 1;
}

/** @returns 0 to refuse: Envoy then rejects the resource (NACK) and the configuration before it stays in force. */
export function proxy_on_configure(root: u32, size: u32): u32 {
  const text = pluginConfiguration(size);
  if (text === null || text.length == 0) {
    log(LOG_ERROR, 'configuration rejected: none given');
    return 0;
  }
  const error: string[] = [];
  const policy = Policy.parse(text, error);
  if (policy === null) {
    log(LOG_ERROR, 'configuration rejected: ' + error[0]);
    return 0;
  }
  configure(root, policy);
  return 1;
}

/** @param parent the root context's id, or 0 when `context` is itself a root. */
export function proxy_on_context_create(context: u32, parent: u32): void {
  if (parent != 0) connect(context, parent);
}

export function proxy_on_new_connection(context: u32): u32 {
  const rule = ruleOf(context);
  if (rule === null) {
    log(LOG_ERROR, 'connection refused: no configuration');
    closeDownstream();
    return ACTION_STOP;
  }
  const address = property(SOURCE_ADDRESS);
  const readable = address.found && parseSource(address.data, address.data + address.size, source);
  if (readable && rule.policy.permits(source) && setProperty(KEY, rule.keyBytes)) {
    address.free();
    increment(rule.allowed);
    return ACTION_CONTINUE;
  }
  increment(rule.denied);
  const skipped = rule.denials.admit(currentTime());
  if (skipped >= 0) {
    const before = skipped > 0 ? ', and ' + skipped.toString() + ' before' : '';
    const why = readable ? '' : ' (no IP address)';
    log(LOG_INFO, 'denied ' + rule.policy.key + ' from ' + address.text() + peer() + why + before);
  }
  address.free();
  closeDownstream();
  return ACTION_STOP;
}

/** ` peer <public key>` on ingress, where the companion says who the peer is; '' on egress. */
function peer(): string {
  const key: Block = property(PEER_PUBLIC_KEY);
  const text = key.found ? ' peer ' + key.text() : '';
  key.free();
  return text;
}

export function proxy_on_delete(context: u32): void {
  forget(context);
}
