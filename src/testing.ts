/**
 * For tests of other people's adapters: contract suites that any test runner can run.
 * @module
 */

export type { ContractCase } from "./runtime/contract-case.ts";
export {
  type SnapshotStoreFixture,
  snapshotStoreContract,
} from "./runtime/snapshot-store-contract.ts";
export {
  type ContractNetwork,
  type TransportContractOptions,
  transportContract,
} from "./runtime/transport-contract.ts";
