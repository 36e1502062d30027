/** Reads what a recipe says about the tokenizer and its chat template. Vocabularies are not merged in this version: that is refused here. */

import { suggest } from '../util/suggest.js';
import { CHAT_TEMPLATES } from './chat-templates.js';
import { parseModelReference } from './parse-values.js';
import {
  describe,
  entriesOf,
  isList,
  isMapping,
  isNothing,
  itemsOf,
  refuse,
  refuseKey,
  textOf,
  wordOf,
  type YamlNode,
} from './yaml-node.js';

/** Whose tokenizer the output gets: `base`, `union` (only of equal vocabularies), or the reference of a model. */
export function parseTokenizerSource(at: YamlNode): string {
  const word = wordOf(at);
  return word === 'base' || word === 'union' ? word : parseModelReference(at);
}

const isEmpty = (at: YamlNode): boolean =>
  isNothing(at) || (isMapping(at) && entriesOf(at).length === 0) || (isList(at) && itemsOf(at).length === 0);

/** `{source}`; `tokens` and `pad_to_multiple_of` would change the rows of the embeddings. */
export function parseTokenizer(at: YamlNode): string {
  let source = 'union';
  for (const entry of entriesOf(at, '{source: base}')) {
    if (entry.key === 'source') source = isNothing(entry.value) ? source : parseTokenizerSource(entry.value);
    else if (entry.key === 'tokens' || entry.key === 'pad_to_multiple_of') {
      if (isEmpty(entry.value)) continue;
      refuse('RECIPE_UNSUPPORTED', entry.keyNode, `${entry.key} changes the rows of the embeddings, which this version does not do`, {
        fix: 'Resize the vocabularies of the models before merging, or leave it out.',
      });
    } else refuseKey(entry, ['source', 'tokens', 'pad_to_multiple_of']);
  }
  return source;
}

/** `auto`, a template's name, or the template itself: mergekit takes what has 20 characters or more and a `{` for one. */
export function parseChatTemplate(at: YamlNode): string {
  const text = textOf(at, 'the name of a chat template, or one in Jinja');
  const names = ['auto', ...CHAT_TEMPLATES.keys()];
  if (names.includes(text) || (text.length >= 20 && text.includes('{'))) return text;
  const near = suggest(text, names);
  return refuse('RECIPE_INVALID', at, 'there is no such chat template', {
    expected: `${names.join(', ')}, or a Jinja template`,
    got: describe(at),
    fix: near === undefined ? undefined : `Did you mean ${near}?`,
  });
}
