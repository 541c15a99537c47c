/** Fields that take what was typed when somebody is done with it, and show again what is so if it cannot be. */

import { type ReactNode, useId, useState } from "react";

interface TextFieldProps {
  readonly label: string;
  readonly value: string;
  readonly className?: string;
  readonly isNumber?: boolean;
  onDone(text: string): void;
}

/** Its label is for who does not see what stands around it. */
export function TextField({ label, value, className, isNumber, onDone }: TextFieldProps) {
  const [typed, setTyped] = useState<string | undefined>(undefined);
  const done = (): void => {
    if (typed !== undefined && typed !== value) onDone(typed);
    setTyped(undefined);
  };
  return (
    <input
      className={className}
      aria-label={label}
      inputMode={isNumber ? "numeric" : undefined}
      value={typed ?? value}
      onChange={({ target }) => setTyped(target.value)}
      onBlur={done}
      onKeyDown={(event) => {
        if (event.key === "Enter") done();
        else if (event.key === "Escape") setTyped(undefined);
        else return;
        event.preventDefault();
      }}
    />
  );
}

interface NumberFieldProps {
  readonly label: string;
  readonly value: number;
  onDone(value: number): void;
}

interface TextAreaProps {
  readonly label: string;
  readonly value: string;
  readonly className: string;
  readonly placeholder: string;
  onDone(text: string): void;
}

/** A sentence or two. */
export function TextArea({ label, value, className, placeholder, onDone }: TextAreaProps) {
  const [typed, setTyped] = useState<string | undefined>(undefined);
  return (
    <textarea
      className={className}
      aria-label={label}
      rows={2}
      placeholder={placeholder}
      value={typed ?? value}
      onChange={({ target }) => setTyped(target.value)}
      onBlur={() => {
        if (typed !== undefined && typed !== value) onDone(typed);
        setTyped(undefined);
      }}
    />
  );
}

/** A whole number of milliseconds. */
export function NumberField({ label, value, onDone }: NumberFieldProps) {
  return (
    <TextField
      isNumber
      className="lab-number"
      label={label}
      value={String(value)}
      onDone={(typed) => {
        const number = Math.round(Number(typed));
        if (typed.trim() !== "" && Number.isFinite(number)) onDone(number);
      }}
    />
  );
}

interface ChoiceProps<T extends string> {
  readonly label: string;
  /** @default it stands before it */
  readonly isLabelHidden?: boolean;
  readonly value: T;
  readonly options: readonly (readonly [value: T, text: string])[];
  onDone(value: T): void;
}

/** One of a few. */
export function Choice<T extends string>({
  label,
  isLabelHidden = false,
  value,
  options,
  onDone,
}: ChoiceProps<T>) {
  const id = useId();
  return (
    <span className="lab-choice">
      <label htmlFor={id} className={isLabelHidden ? "hidden" : undefined}>
        {label}
      </label>
      <select id={id} value={value} onChange={({ target }) => onDone(target.value as T)}>
        {options.map(([one, text]) => (
          <option key={one} value={one}>
            {text}
          </option>
        ))}
      </select>
    </span>
  );
}

interface SegmentsProps<T extends string> {
  readonly label: string;
  readonly value: T;
  readonly options: readonly (readonly [value: T, text: ReactNode, tip: string])[];
  onDone(value: T): void;
}

/** One of two or three that are all seen. */
export function Segments<T extends string>({ label, value, options, onDone }: SegmentsProps<T>) {
  return (
    <fieldset className="lab-segments">
      <legend className="hidden">{label}</legend>
      {options.map(([one, text, tip]) => (
        <button
          key={one}
          type="button"
          className="button"
          title={tip}
          aria-pressed={one === value}
          onClick={() => onDone(one)}
        >
          {text}
        </button>
      ))}
    </fieldset>
  );
}
