/** Who is calling. With tokens configured a token is a contributor (or the operator); without, a caller is who it says. */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { CallContext } from 'nice-grpc-common';
import { TributaryError } from '../../shared/errors/tributary-error.js';
import type { CoordinatorConfig } from '../config.js';

type Tokens = Pick<CoordinatorConfig, 'tokens'>;

/** The owner of this token may do everything for everyone. */
const OPERATOR = 'operator';

export function tokenOf(context: CallContext): string | undefined {
  return context.metadata.get('authorization')?.replace(/^Bearer /i, '');
}

/** Whose token it is; undefined when no tokens are configured. Throws UNAUTHENTICATED for a missing or unknown one. */
function ownerOf(config: Tokens, token: string | undefined): string | undefined {
  const entries = Object.entries(config.tokens);
  if (entries.length === 0) return undefined;
  const given = createHash('sha256')
    .update(token ?? '')
    .digest();
  for (const [owner, secret] of entries) {
    if (timingSafeEqual(given, createHash('sha256').update(secret).digest())) return owner;
  }
  throw new TributaryError('UNAUTHENTICATED', {
    what: token === undefined ? 'This coordinator wants a token' : 'The token is not known here',
    fix: 'Set `token` in the config file, TRIBUTARY_TOKEN or --token.',
  });
}

/** The contributor a push counts for: the token's owner, or who the push says it is. */
export function contributorOf(config: Tokens, token: string | undefined, claimed: string): string {
  const owner = ownerOf(config, token);
  if (owner === undefined || owner === OPERATOR) return claimed;
  requireToken(config, token, claimed === '' ? owner : claimed);
  return owner;
}

/** Throws unless the caller may act for this contributor ('' : any known caller may). */
export function requireToken(config: Tokens, token: string | undefined, contributor: string): void {
  const owner = ownerOf(config, token);
  if (owner === undefined || owner === OPERATOR || contributor === '' || contributor === owner) return;
  throw new TributaryError('PERMISSION_DENIED', {
    what: `The token belongs to ${owner}`,
    expected: `the token of ${contributor}`,
    fix: `Act as ${owner}, or use the right token.`,
  });
}

/** Throws unless the caller is the operator, where an operator is configured. */
export function requireOperator(config: Tokens, token: string | undefined): void {
  const owner = ownerOf(config, token);
  if (owner === undefined || owner === OPERATOR || config.tokens[OPERATOR] === undefined) return;
  throw new TributaryError('PERMISSION_DENIED', {
    what: `Only the operator registers bases and opens, closes or cancels rounds; the token belongs to ${owner}`,
    expected: "the operator's token",
    fix: 'Ask whoever runs the coordinator.',
  });
}
