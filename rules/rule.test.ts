import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { formatRule, formatRuleFlag, type ProxyRule, parseRule, sameRule } from './rule.ts';

describe('valid rules', () => {
  test.each([
    ['tcp:443:127.0.0.1:8080', 'tcp:443:127.0.0.1:8080'],
    ['tcp:8001:[200::1]:8080', 'tcp:8001:[200::1]:8080'],
    ['UDP:53:100.100.0.2:53', 'udp:53:100.100.0.2:53'],
    ['TcP:080:10.0.0.1:+80', 'tcp:80:10.0.0.1:80'],
    ['tcp:+80:10.0.0.1:00080', 'tcp:80:10.0.0.1:80'],
    ['tcp:65535:10.0.0.1:1', 'tcp:65535:10.0.0.1:1'],
    ['tcp:80:[fe80::1%eth0]:80', 'tcp:80:[fe80::1%eth0]:80'],
    ['tcp:80:db.example.svc.cluster.local:5432', 'tcp:80:db.example.svc.cluster.local:5432'],
    ['tcp:80:my_service:5432', 'tcp:80:my_service:5432'],
    ['tcp:80:[localhost]:5432', 'tcp:80:localhost:5432'],
    ['tcp:80:bücher.example:80', 'tcp:80:bücher.example:80'],
  ])('%s', (text, canonical) => {
    const parsed = parseRule('egress', text);
    expect(parsed).toMatchObject({ ok: true });
    if (parsed.ok) {
      expect(formatRule(parsed.rule)).toBe(canonical);
      expect(formatRuleFlag(parsed.rule)).toBe(`--egress ${canonical}`);
    }
  });
});

// The first block is Nexodus' own texts as observed on the real daemon.
describe('invalid rules', () => {
  test.each([
    ['tcp:8080', 'invalid proxy rule format, must specify 4 colon-separated values (tcp:8080)'],
    ['', 'invalid proxy rule format, must specify 4 colon-separated values ()'],
    ['tcp:8080:127.0.0.1', 'invalid proxy rule format, must specify 4 colon-separated values (tcp:8080:127.0.0.1)'],
    ['tcpa:8080:127.0.0.1:80', 'invalid protocol (tcpa)'],
    [':8080:127.0.0.1:80', 'invalid protocol ()'],
    [' tcp:8080:127.0.0.1:80', 'invalid protocol ( tcp)'],
    ['tcp:90000:127.0.0.1:80', 'invalid port (90000): out of range 0-65535'],
    ['tcp:0:127.0.0.1:80', 'invalid port (0): out of range 0-65535'],
    ['tcp:-1:127.0.0.1:80', 'invalid port (-1): out of range 0-65535'],
    ['tcp:abc:127.0.0.1:80', 'invalid port (abc): strconv.Atoi: parsing "abc": invalid syntax'],
    ['tcp::127.0.0.1:80', 'invalid port (): strconv.Atoi: parsing "": invalid syntax'],
    ['tcp:80-90:127.0.0.1:80', 'invalid port (80-90): strconv.Atoi: parsing "80-90": invalid syntax'],
    ['tcp:8080:127.0.0.1:90000', 'invalid port (90000): out of range 0-65535'],
    ['tcp:8080:127.0.0.1:0', 'invalid port (0): out of range 0-65535'],
    ['tcp:8080:127.0.0.1:', 'invalid port (): strconv.Atoi: parsing "": invalid syntax'],
    ['tcp:8080::80', 'invalid destination host:port (:80): host cannot be empty'],
    ['tcp:8080:[]:80', 'invalid destination host:port ([]:80): host cannot be empty'],
    ['tcp:8080:200::1:80', 'invalid destination host:port (200::1:80): address 200::1:80: too many colons in address'],
    ['tcp:8080:[::1:80', "invalid destination host:port ([::1:80): address [::1:80: missing ']' in address"],
    ['tcp:8080:[::1]', 'invalid destination host:port ([::1]): address [::1]: missing port in address'],
    // Ours: Nexodus takes any text as the host.
    ['tcp:80:[1:2]:80', 'invalid destination host:port ([1:2]:80): host is not an IPv6 address'],
    ['tcp:80:[fe80::1%]:80', 'invalid destination host:port ([fe80::1%]:80): host has an invalid zone'],
    ['tcp:80:a b:80', 'invalid destination host:port (a b:80): host has a character that no address or name has'],
    ['tcp:80:a\nb:80', 'invalid destination host:port (a\nb:80): host has a character that no address or name has'],
    [
      `tcp:80:${'a'.repeat(254)}:80`,
      `invalid destination host:port (${'a'.repeat(254)}:80): host is longer than 253 characters`,
    ],
  ])('%j', (text, error) => {
    expect(parseRule('egress', text)).toEqual({ ok: false, error });
    expect(parseRule('ingress', text)).toEqual({ ok: false, error });
  });
});

const port = fc.integer({ min: 1, max: 65535 });
const host = fc.oneof(
  fc.ipV4(),
  fc.ipV6().filter(text => !text.includes('%')),
  fc.domain().filter(text => /^[\w.-]+$/.test(text)),
);
const anyRule: fc.Arbitrary<ProxyRule> = fc.record({
  direction: fc.constantFrom('egress', 'ingress'),
  protocol: fc.constantFrom('tcp', 'udp'),
  port,
  destination: fc.record({ host, port }),
});

test('print and parse round-trip', () => {
  fc.assert(
    fc.property(anyRule, rule => {
      const parsed = parseRule(rule.direction, formatRule(rule));
      expect(parsed).toEqual({ ok: true, rule });
      expect(parsed.ok && sameRule(parsed.rule, rule)).toBe(true);
    }),
    { numRuns: 1000 },
  );
});

test('any text gives a rule that prints back to itself, or one of the known errors', () => {
  const noise = fc.oneof(
    fc.string(),
    fc
      .array(fc.constantFrom('tcp', 'udp', ':', ':', '80', '[', ']', '::1', '10.0.0.1', '-', '+', '%lo', '\n'), {
        maxLength: 12,
      })
      .map(parts => parts.join('')),
  );
  fc.assert(
    fc.property(noise, text => {
      const parsed = parseRule('ingress', text);
      if (parsed.ok) expect(parseRule('ingress', formatRule(parsed.rule))).toEqual(parsed);
      else expect(parsed.error).toMatch(/^invalid (proxy rule format|protocol|port|destination host:port)/);
    }),
    { numRuns: 5000 },
  );
});
