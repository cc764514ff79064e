/** What nodes made of what they were sent, as text for a terminal. */
import type { NodeStatus, TypeStatus } from './nodes.ts';

const shortNames: Record<string, string> = {
  Cluster: 'clusters',
  ClusterLoadAssignment: 'endpoints',
  Listener: 'listeners',
  TypedExtensionConfig: 'policies',
};

function nameOf(typeUrl: string): string {
  const last = typeUrl.slice(typeUrl.lastIndexOf('.') + 1);
  return shortNames[last] ?? last;
}

function stateOf({ rejected, synced, acked, sent }: TypeStatus): string {
  if (rejected) return `${rejected.resources.length} refused`;
  if (synced) return 'in sync';
  return acked < sent ? 'waiting for the answer' : 'behind';
}

/** Seconds, minutes or hours, in whole numbers. */
function age(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 120) return `${seconds}s`;
  return seconds < 7200 ? `${Math.round(seconds / 60)}m` : `${Math.round(seconds / 3600)}h`;
}

/**
 * One paragraph per node: a line per type, then what is refused and why.
 * @param now milliseconds (Unix).
 */
export function formatStatus(nodes: readonly NodeStatus[], now: number): string {
  if (nodes.length === 0) return 'no nodes\n';
  return nodes.map(node => formatNode(node, now).join('\n')).join('\n\n') + '\n';
}

function formatNode(node: NodeStatus, now: number): string[] {
  const since = node.connectedAt === undefined ? '' : ` for ${age(now - node.connectedAt)}`;
  const published =
    node.publishedAt === undefined ? 'nothing published' : `published ${age(now - node.publishedAt)} ago`;
  const head = `${node.nodeId}: ${node.connected ? `connected${since}` : 'not connected'}, ${published}`;
  const types = node.types.map(type => {
    const count = `${type.acked}/${type.sent}`.padStart(9);
    return `  ${nameOf(type.typeUrl).padEnd(10)}${count}  ${type.version.slice(0, 8).padEnd(8)}  ${stateOf(type)}`;
  });
  const refused = node.rejectedResources.map(
    ({ typeUrl, name, message }) => `  ! ${nameOf(typeUrl)} ${name}: ${message.trim().replace(/\s*\n\s*/g, '; ')}`,
  );
  return [head, ...types, ...refused];
}
