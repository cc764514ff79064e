/** The rule syntax and its meaning, shared by all parts. Pure, no dependency. */

export {
  type Endpoint,
  formatAddress,
  formatEndpoint,
  isIPv4,
  isIPv4Prefix,
  networkOf,
  type Prefix,
  parseAddress,
  parseEndpoint,
  parsePrefix,
  prefixContains,
  splitZone,
} from './address.ts';
export { OPEN_POLICY, type Policy, type PolicyResult, parsePolicy, permits } from './policy.ts';
export { type ProxyKey, parseProxyKeyName, proxyKeyName, proxyKeys } from './proxy-key.ts';
export {
  type Destination,
  DIRECTIONS,
  type Direction,
  formatRule,
  formatRuleFlag,
  type Protocol,
  type ProxyRule,
  parseRule,
  type RuleResult,
  sameRule,
} from './rule.ts';
