import { userInfo } from 'node:os';

/** Who a person is when nothing says it: the name of the account, in letters that names may have. */
export function defaultContributor(): string {
  const name = userInfo().username.replace(/[^A-Za-z0-9._-]/g, '-');
  return name === '' ? 'anonymous' : name;
}
