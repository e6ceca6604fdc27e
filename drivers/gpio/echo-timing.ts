/** Speed of sound in dry air, metres per second: 331.3 at 0 °C, and 0.606 more per kelvin, which is right to 0.2 % from -20 to 40 °C. */
export function soundMps(temperatureC: number): number {
  return 331.3 + 0.606 * temperatureC;
}

/** Half the way that sound goes while the echo's pulse lasts. */
export function echoDistanceM(widthNs: number, temperatureC: number): number {
  return (soundMps(temperatureC) * widthNs) / 2e9;
}

/** The latest outcomes of measuring. */
export interface EchoWindow {
  /**
   * Takes one, undefined for none; returns the median of those that are distances, if they are more than half of the window: a value that was measured,
   * and of two in the middle the nearer one.
   */
  push(distanceM: number | undefined): number | undefined;
}

export function createEchoWindow(samples: number): EchoWindow {
  const outcomes: (number | undefined)[] = [];
  return {
    push(distanceM) {
      outcomes.push(distanceM);
      if (outcomes.length > samples) outcomes.shift();
      const measured = outcomes.filter((outcome) => outcome !== undefined).sort((a, b) => a - b);
      return measured.length * 2 > samples ? measured[Math.floor((measured.length - 1) / 2)] : undefined;
    },
  };
}
