/**
 * `envoy.extensions.transport_sockets.http_11_proxy.v3.Http11ProxyUpstreamTransport` as Envoy 1.40 has it. The published
 * descriptors (xds-protos 1.85.0) lack its second field, the one we use; all else is as in them.
 */

import { create, createFileRegistry, type MessageInitShape } from '@bufbuild/protobuf';
import {
  FieldDescriptorProto_Label,
  FieldDescriptorProto_Type,
  type FieldDescriptorProtoSchema,
  FileDescriptorProtoSchema,
} from '@bufbuild/protobuf/wkt';
import { AddressSchema, TransportSocketSchema } from '../../envoy/api/index.ts';

const PACKAGE = 'envoy.extensions.transport_sockets.http_11_proxy.v3';

function messageField(name: string, jsonName: string, number: number, typeName: string) {
  const field: MessageInitShape<typeof FieldDescriptorProtoSchema> = {
    ...{ name, jsonName, number, typeName: `.${typeName}` },
    label: FieldDescriptorProto_Label.OPTIONAL,
    type: FieldDescriptorProto_Type.MESSAGE,
  };
  return field;
}

const imports = [AddressSchema.file, TransportSocketSchema.file];
const file = create(FileDescriptorProtoSchema, {
  name: 'nexodus/http_11_proxy.proto',
  package: PACKAGE,
  syntax: 'proto3',
  dependency: imports.map(({ proto }) => proto.name),
  messageType: [
    {
      name: 'Http11ProxyUpstreamTransport',
      field: [
        messageField('transport_socket', 'transportSocket', 1, TransportSocketSchema.typeName),
        messageField('default_proxy_address', 'defaultProxyAddress', 2, AddressSchema.typeName),
      ],
    },
  ],
});

export const Http11ProxySchema = createFileRegistry(file, name => {
  return imports.find(({ proto }) => proto.name === name);
}).getMessage(`${PACKAGE}.Http11ProxyUpstreamTransport`)!;
