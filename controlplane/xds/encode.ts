/**
 * DiscoveryResponse and DeltaDiscoveryResponse as bytes.
 *
 * A resource is serialized once, whatever the number of nodes that get it: its message comes as bytes, its frame (the
 * repeated field `resources`, tag and length included) is kept beside it, and a response is a concatenation of frames.
 * Only fields of the two messages are written here, in the order of their numbers, so equal responses are equal bytes.
 */
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import type { Resource } from '../resources/resource.ts';
import type { Response, Variant } from './messages.ts';

// Field numbers of envoy/service/discovery/v3/discovery.proto.
const discoveryResponse = { versionInfo: 1, resources: 2, typeUrl: 4, nonce: 5, controlPlane: 6 } as const;
const deltaResponse = {
  systemVersionInfo: 1,
  resources: 2,
  typeUrl: 4,
  nonce: 5,
  removedResources: 6,
  controlPlane: 7,
} as const;
const deltaResource = { version: 1, resource: 2, name: 3 } as const;
const controlPlane = { identifier: 1 } as const;
const any = { typeUrl: 1, value: 2 } as const;

type Frames = { [variant in Variant]?: Uint8Array };
/** Frames live as long as their resource. */
const frames = new WeakMap<Resource, Frames>();

function writeAny(writer: BinaryWriter, resource: Resource): BinaryWriter {
  writer.tag(any.typeUrl, WireType.LengthDelimited).string(resource.typeUrl);
  // A message of defaults only, which canonical protobuf leaves out.
  if (resource.any.length === 0) return writer;
  return writer.tag(any.value, WireType.LengthDelimited).bytes(resource.any);
}

function makeFrame(resource: Resource, variant: Variant): Uint8Array {
  const writer = new BinaryWriter();
  if (variant === 'sotw') {
    writer.tag(discoveryResponse.resources, WireType.LengthDelimited).fork();
    return writeAny(writer, resource).join().finish();
  }
  writer.tag(deltaResponse.resources, WireType.LengthDelimited).fork();
  writer.tag(deltaResource.version, WireType.LengthDelimited).string(resource.version);
  writer.tag(deltaResource.resource, WireType.LengthDelimited).fork();
  writeAny(writer, resource).join();
  writer.tag(deltaResource.name, WireType.LengthDelimited).string(resource.name);
  return writer.join().finish();
}

function frame(resource: Resource, variant: Variant): Uint8Array {
  let known = frames.get(resource);
  if (!known) {
    known = {};
    frames.set(resource, known);
  }
  known[variant] ??= makeFrame(resource, variant);
  return known[variant];
}

function fields(write: (writer: BinaryWriter) => void): Uint8Array {
  const writer = new BinaryWriter();
  write(writer);
  return writer.finish();
}

function text(writer: BinaryWriter, field: number, value: string): void {
  if (value !== '') writer.tag(field, WireType.LengthDelimited).string(value);
}

/** @param identifier ControlPlane.identifier, for whoever looks at the client; '' to leave it out. */
export function encodeResponse(response: Response, variant: Variant, identifier: string): Buffer {
  const isDelta = variant === 'delta';
  const head = fields(writer => text(writer, discoveryResponse.versionInfo, response.version));
  const tail = fields(writer => {
    text(writer, discoveryResponse.typeUrl, response.typeUrl);
    text(writer, discoveryResponse.nonce, response.nonce);
    for (const name of response.removed) text(writer, deltaResponse.removedResources, name);
    if (identifier === '') return;
    const field = isDelta ? deltaResponse.controlPlane : discoveryResponse.controlPlane;
    writer.tag(field, WireType.LengthDelimited).fork();
    text(writer, controlPlane.identifier, identifier);
    writer.join();
  });
  return Buffer.concat([head, ...response.resources.map(resource => frame(resource, variant)), tail]);
}
