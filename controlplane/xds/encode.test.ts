/** Our bytes against protobuf-es, which builds the same message the slow way. */
import { create, toBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { DeltaDiscoveryResponseSchema, DiscoveryResponseSchema } from '../../envoy/api/index.ts';
import { makeResource } from '../resources/resource.ts';
import { encodeResponse } from './encode.ts';
import type { Response } from './messages.ts';

const text = fc.string({ minLength: 1, maxLength: 20 });
const responses = fc.record({
  typeUrl: text,
  nonce: text,
  version: fc.string(),
  resources: fc.array(
    fc.tuple(text, text, fc.uint8Array({ maxLength: 300 })).map(([url, name, any]) => makeResource(url, name, any)),
  ),
  removed: fc.array(text),
}) satisfies fc.Arbitrary<Response>;

test('delta, byte for byte', () => {
  fc.assert(
    fc.property(responses, fc.string(), (response, identifier) => {
      const expected = create(DeltaDiscoveryResponseSchema, {
        systemVersionInfo: response.version,
        typeUrl: response.typeUrl,
        nonce: response.nonce,
        removedResources: [...response.removed],
        resources: response.resources.map(r => ({
          name: r.name,
          version: r.version,
          resource: { typeUrl: r.typeUrl, value: r.any },
        })),
        ...(identifier !== '' && { controlPlane: { identifier } }),
      });
      const bytes = encodeResponse(response, 'delta', identifier);
      expect(new Uint8Array(bytes)).toEqual(toBinary(DeltaDiscoveryResponseSchema, expected));
    }),
  );
});

test('state of the world, byte for byte', () => {
  fc.assert(
    fc.property(responses, fc.string(), (response, identifier) => {
      const expected = create(DiscoveryResponseSchema, {
        versionInfo: response.version,
        typeUrl: response.typeUrl,
        nonce: response.nonce,
        resources: response.resources.map(r => ({ typeUrl: r.typeUrl, value: r.any })),
        ...(identifier !== '' && { controlPlane: { identifier } }),
      });
      const bytes = encodeResponse({ ...response, removed: [] }, 'sotw', identifier);
      expect(new Uint8Array(bytes)).toEqual(toBinary(DiscoveryResponseSchema, expected));
    }),
  );
});
