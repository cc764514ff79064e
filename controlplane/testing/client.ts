/** A raw xDS client for tests: sends exactly what it is told, keeps what it gets. */
import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import * as grpc from '@grpc/grpc-js';
import {
  DeltaDiscoveryRequestSchema,
  type DeltaDiscoveryResponse,
  DeltaDiscoveryResponseSchema,
  DiscoveryRequestSchema,
  type DiscoveryResponse,
  DiscoveryResponseSchema,
} from '../../envoy/api/index.ts';

export type SotwRequest = MessageInitShape<typeof DiscoveryRequestSchema>;
export type DeltaRequest = MessageInitShape<typeof DeltaDiscoveryRequestSchema>;

const aggregated = '/envoy.service.discovery.v3.AggregatedDiscoveryService';
/** Long against a busy machine, short against a test that waits for nothing. */
const patienceMs = 5_000;

export interface Ended {
  code: grpc.status;
  details: string;
}

/** One stream of either variant. */
export class RawStream<Request, Response> {
  readonly received: Response[] = [];
  readonly ended: Promise<Ended>;
  readonly #call: grpc.ClientDuplexStream<Request, Response>;
  readonly #queue: Response[] = [];
  #wake: (() => void) | undefined;

  constructor(call: grpc.ClientDuplexStream<Request, Response>) {
    this.#call = call;
    call.on('data', (response: Response) => {
      this.received.push(response);
      this.#queue.push(response);
      this.#wake?.();
    });
    this.ended = new Promise(resolve => {
      call.on('status', ({ code, details }) => resolve({ code, details }));
    });
    // The status tells it all; without a listener an error would end the process.
    call.on('error', () => {});
  }

  send(request: Request): void {
    this.#call.write(request);
  }

  /** The next response. @throws Error if none comes. */
  async next(): Promise<Response> {
    if (this.#queue.length === 0) {
      await new Promise<void>((resolve, reject) => {
        const timer = setTimeout(() => reject(new Error('no response came')), patienceMs);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      this.#wake = undefined;
    }
    return this.#queue.shift()!;
  }

  /** Responses that have come and were not yet taken, after all that is under way must have arrived. */
  async rest(): Promise<Response[]> {
    await new Promise(resolve => setTimeout(resolve, 80));
    // Client and server share a process: on a machine too busy to run it in that time, turns of its loop count instead.
    for (let turn = 0; turn < 50; turn++) await new Promise(resolve => setImmediate(resolve));
    return this.#queue.splice(0);
  }

  /** Calls `handle` with each response instead of keeping it. */
  onResponse(handle: (response: Response) => void): void {
    this.#call.removeAllListeners('data');
    this.#call.on('data', handle);
  }

  pause(): void {
    this.#call.pause();
  }

  resume(): void {
    this.#call.resume();
  }

  end(): void {
    this.#call.end();
  }

  cancel(): void {
    this.#call.cancel();
  }
}

export type SotwStream = RawStream<SotwRequest, DiscoveryResponse>;
export type DeltaStream = RawStream<DeltaRequest, DeltaDiscoveryResponse>;

export class RawClient {
  readonly #client: grpc.Client;

  /** @param address `unix:PATH` or `host:port`. */
  constructor(address: string, credentials: grpc.ChannelCredentials = grpc.credentials.createInsecure()) {
    this.#client = new grpc.Client(address, credentials, {
      'grpc.max_receive_message_length': -1,
      'grpc.use_local_subchannel_pool': 1,
    });
  }

  sotw(path = `${aggregated}/StreamAggregatedResources`): SotwStream {
    return this.#open(
      path,
      request => toBinary(DiscoveryRequestSchema, create(DiscoveryRequestSchema, request)),
      bytes => fromBinary(DiscoveryResponseSchema, bytes),
    );
  }

  delta(path = `${aggregated}/DeltaAggregatedResources`): DeltaStream {
    return this.#open(
      path,
      request => toBinary(DeltaDiscoveryRequestSchema, create(DeltaDiscoveryRequestSchema, request)),
      bytes => fromBinary(DeltaDiscoveryResponseSchema, bytes),
    );
  }

  /** A stream that sends bytes as they are. */
  bytes(path = `${aggregated}/StreamAggregatedResources`): RawStream<Uint8Array, DiscoveryResponse> {
    return this.#open(
      path,
      request => request,
      bytes => fromBinary(DiscoveryResponseSchema, bytes),
    );
  }

  close(): void {
    this.#client.close();
  }

  #open<Request, Response>(
    path: string,
    serialize: (request: Request) => Uint8Array,
    deserialize: (bytes: Uint8Array) => Response,
  ): RawStream<Request, Response> {
    const encode = (request: Request): Buffer => Buffer.from(serialize(request));
    return new RawStream(this.#client.makeBidiStreamRequest(path, encode, deserialize));
  }
}

/** Names in a response, sorted. */
export function namesOf(response: DeltaDiscoveryResponse): string[] {
  return response.resources.map(resource => resource.name).sort();
}
