import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { RULE_NAMES, RULES } from '../../../src/policy/rules.ts';

const text = readFileSync(new URL('../../../docs/policy.md', import.meta.url), 'utf8');
const sections = text.split(/^### /m).slice(1);

describe('docs/policy.md', () => {
  it('has a section for each rule, in the order of the table, and no other', () => {
    expect(sections.map((section) => section.split('\n')[0])).toEqual(RULE_NAMES.map((rule) => `\`${rule}\``));
  });

  it.each(RULE_NAMES)('says of %s what the table says, with an example and what came of it', (rule) => {
    const section = sections[RULE_NAMES.indexOf(rule)] ?? '';
    const { severity, meaning, why, fix } = RULES[rule];
    expect(section).toContain(`\n*${severity}* · ${meaning}\n`);
    expect(section).toContain(`\nWhy: ${why}\n`);
    expect(section).toContain(`\nWhat to do: ${fix}\n`);
    expect(section).toMatch(/\n```yaml[^\n]*\n[^`]+```\n/);
    const [, output = ''] = /\n```console\n([^`]*)```/.exec(section) ?? [];
    expect(output).toMatch(/^\$ \S/);
    expect(output).toContain(`[${rule}`);
  });
});
