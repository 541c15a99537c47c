/** Around what may go wrong by a fault of ours: that is told in its place, and all else stays as it is. */

import { Component, type ReactNode } from "react";
import { textOf } from "../../src/core/error.ts";
import { Empty } from "./empty.tsx";

interface BoundaryProps {
  /** What is in it, for people. */
  readonly name: string;
  readonly children: ReactNode;
}

interface BoundaryState {
  readonly problem?: string;
}

export class Boundary extends Component<BoundaryProps, BoundaryState> {
  override readonly state: BoundaryState = {};

  static getDerivedStateFromError(error: unknown): BoundaryState {
    return { problem: textOf(error) };
  }

  override render(): ReactNode {
    const { problem } = this.state;
    if (problem === undefined) return this.props.children;
    return (
      <Empty title={`${this.props.name} cannot be shown`}>
        <p role="alert">This is a fault of the page: {problem}</p>
        <p>
          Nothing else is lost. Go to another view and come back, open another file, or load the
          page again.
        </p>
      </Empty>
    );
  }
}
