// The filter with a fault: new connections trap. For the test that a trap closes the door.

export {
  proxy_abi_version_0_2_1,
  proxy_on_configure,
  proxy_on_context_create,
  proxy_on_delete,
  proxy_on_memory_allocate,
  proxy_on_vm_start,
} from '../../assembly/index';

export function proxy_on_new_connection(_context: u32): u32 {
  throw new Error('a fault on purpose');
}
