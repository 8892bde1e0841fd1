// Ajv, a validator of JSON Schema. The first line is the schema; it answers each further line, a document, with what is wrong.
import { createInterface } from 'node:readline';
import Ajv from 'ajv/dist/2020.js';

let validate;
for await (const line of createInterface({ input: process.stdin })) {
  const value = JSON.parse(line);
  if (!validate) {
    validate = new Ajv({ strict: true, strictRequired: false, allErrors: true, allowUnionTypes: true }).compile(value);
    continue;
  }
  const valid = validate(value);
  const errors = (validate.errors ?? []).map((e) => `${e.instancePath} ${e.message}`);
  console.log(JSON.stringify({ event: 'validated', valid, errors }));
}
