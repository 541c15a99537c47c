/** Parts of descriptions (JSON Schema) that several routes have in common. */

/** A description; what may be in it is for the server to check. */
export type Schema = Readonly<Record<string, unknown>>;

/** An object with exactly these fields; those with a `?` behind their name may be absent. */
export function object(fields: Readonly<Record<string, Schema>>): Schema {
  const names = Object.keys(fields);
  return {
    type: "object",
    additionalProperties: false,
    required: names.filter((name) => !name.endsWith("?")),
    properties: Object.fromEntries(
      Object.entries(fields).map(([name, schema]) => [name.replace(/\?$/, ""), schema]),
    ),
  };
}

export const list = (items: Schema): Schema => ({ type: "array", items });
export const text = (description: string): Schema => ({ type: "string", description });
export const number = (description: string): Schema => ({ type: "number", description });
export const truth = (description: string): Schema => ({ type: "boolean", description });
/** What has a form that is said elsewhere. */
export const anything = (description: string): Schema => ({ description });

export const problemSchema: Schema = {
  $id: "Problem",
  ...object({
    code: text("one of the codes of Tidemark's errors, or UNAUTHORIZED, FORBIDDEN"),
    message: text("what is wrong, in words"),
  }),
};

/** What a route answers when all is well, or when not. */
export function answers(status: number, schema: Schema): Schema {
  return { [status]: schema, default: { description: "what is wrong", $ref: "Problem#" } };
}
