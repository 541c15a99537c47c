/** A button: what is in it says what it does, or else its label does. */

import type { ReactNode } from "react";

interface ButtonProps {
  readonly onClick: () => void;
  readonly children: ReactNode;
  /** For those who do not see what is in it; also shown as a tip. */
  readonly label?: string;
  readonly tone?: "main" | "bad";
  readonly isQuiet?: boolean;
  readonly isDisabled?: boolean;
  /** Whether what it switches is on. */
  readonly isPressed?: boolean;
}

export function Button({
  onClick,
  children,
  label,
  tone,
  isQuiet,
  isDisabled,
  isPressed,
}: ButtonProps) {
  const classes = ["button", tone, isQuiet && "quiet"].filter(Boolean).join(" ");
  return (
    <button
      type="button"
      className={classes}
      disabled={isDisabled}
      aria-label={label}
      title={label}
      aria-pressed={isPressed}
      onClick={onClick}
    >
      {children}
    </button>
  );
}
