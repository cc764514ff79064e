import { create, toBinary } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { descriptorOf, pythonBytes } from './descriptors.ts';

/** The escaping of protoc's Python generator, written out slowly: everything but plain text as \xHH or octal. */
function literal(bytes: Uint8Array, octal: boolean): string {
  let text = '';
  for (const byte of bytes) {
    const char = String.fromCharCode(byte);
    const simple = { '\n': '\\n', '\r': '\\r', '\t': '\\t', '"': '\\"', "'": "\\'", '\\': '\\\\' }[char];
    if (simple !== undefined) text += simple;
    else if (byte >= 0x20 && byte < 0x7f) text += char;
    else text += octal ? `\\${byte.toString(8).padStart(3, '0')}` : `\\x${byte.toString(16).padStart(2, '0')}`;
  }
  return text;
}

describe('pythonBytes', () => {
  test('reads back any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array(), fc.boolean(), (bytes, octal) => {
        expect(pythonBytes(`x'${literal(bytes, octal)}')`, 2)).toEqual(bytes);
      }),
    );
  });

  test('a hexadecimal escape has two digits: what follows is text', () => {
    expect(pythonBytes("\\x1aA'", 0)).toEqual(Uint8Array.of(0x1a, 0x41));
  });

  test('refuses what it does not know', () => {
    expect(() => pythonBytes("\\q'", 0)).toThrow('unknown escape');
    expect(() => pythonBytes('no end', 0)).toThrow('has no end');
    expect(() => descriptorOf('print(1)')).toThrow('no serialized descriptor');
  });
});

test('descriptorOf finds the descriptor in a module', () => {
  const file = create(FileDescriptorProtoSchema, { name: 'a/b.proto', package: 'a', dependency: ['c.proto'] });
  const bytes = toBinary(FileDescriptorProtoSchema, file);
  const module = `import x\n\nDESCRIPTOR = pool.AddSerializedFile(b'${literal(bytes, false)}')\n\nmore(b'x')\n`;
  expect(descriptorOf(module)).toEqual(file);
});
