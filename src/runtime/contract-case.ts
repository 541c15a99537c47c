/**
 * One case of a contract suite: what every adapter of a port must pass, told apart by name, for any test
 * runner to run. `run` rejects when the adapter breaks the contract, and cleans up after itself either way.
 */
export interface ContractCase {
  /** A sentence that says what holds. */
  readonly name: string;
  run(): Promise<void>;
}
