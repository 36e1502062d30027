/** Chat templates that a recipe can ask for by name, in Jinja, written from the published formats of prompts. */

/** Around each message its role and its end; the assistant's opening when an answer is wanted. */
const turns = (opening: string, closing: string, assistant: string, before = ''): string =>
  `${before}{% for message in messages %}{{ ${opening} }}{{ message['content'] | trim }}{{ ${closing} }}{% endfor %}{% if add_generation_prompt %}{{ ${assistant} }}{% endif %}`;

const ALPACA = [
  `{% for message in messages %}`,
  `{% if message['role'] == 'user' %}{{ '### Instruction:\\n' + message['content'] | trim + '\\n\\n' }}`,
  `{% elif message['role'] == 'assistant' %}{{ '### Response:\\n' + message['content'] | trim + eos_token + '\\n\\n' }}`,
  `{% else %}{{ message['content'] | trim + '\\n\\n' }}{% endif %}`,
  `{% endfor %}{% if add_generation_prompt %}{{ '### Response:\\n' }}{% endif %}`,
].join('');

/** User turns end with a line feed, all others with the end-of-turn token. */
const EXAONE = [
  `{% for message in messages %}`,
  `{{ '[|' + message['role'] + '|]' + message['content'] | trim }}`,
  `{% if message['role'] == 'user' %}{{ '\\n' }}{% else %}{{ '[|endofturn|]\\n' }}{% endif %}`,
  `{% endfor %}{% if add_generation_prompt %}{{ '[|assistant|]' }}{% endif %}`,
].join('');

/** Instructions stand in brackets, with what the system says in front of the first. */
const MISTRAL = [
  `{{ bos_token }}{% set system = namespace(text='') %}`,
  `{% for message in messages %}`,
  `{% if message['role'] == 'system' %}{% set system.text = message['content'] | trim + '\\n\\n' %}`,
  `{% elif message['role'] == 'user' %}{{ '[INST] ' + system.text + message['content'] | trim + ' [/INST]' }}{% set system.text = '' %}`,
  `{% elif message['role'] == 'assistant' %}{{ ' ' + message['content'] | trim + eos_token }}{% endif %}`,
  `{% endfor %}`,
].join('');

export const CHAT_TEMPLATES: ReadonlyMap<string, string> = new Map([
  ['alpaca', ALPACA],
  ['chatml', turns(`'<|im_start|>' + message['role'] + '\\n'`, `'<|im_end|>\\n'`, `'<|im_start|>assistant\\n'`)],
  ['exaone', EXAONE],
  [
    'llama3',
    turns(
      `'<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'`,
      `'<|eot_id|>'`,
      `'<|start_header_id|>assistant<|end_header_id|>\\n\\n'`,
      '{{ bos_token }}',
    ),
  ],
  ['mistral', MISTRAL],
]);
