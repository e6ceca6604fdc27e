import fc from "fast-check";
import * as ss from "simple-statistics";
import t from "tap";

import { modelText, readModel, type LinearState, type SavedModel } from "../../../analytics/statistics/linear-state.ts";
import { createLogistic } from "../../../analytics/statistics/logistic.ts";
import { createPerceptron } from "../../../analytics/statistics/perceptron.ts";
import { createScaling } from "../../../analytics/statistics/scaling.ts";

function blank(size: number): LinearState {
  return { weights: new Float64Array(size), bias: 0 };
}

const examples = fc.array(
  fc.record({ inputs: fc.tuple(fc.integer({ min: -50, max: 50 }), fc.integer({ min: -50, max: 50 })), label: fc.boolean() }),
  { minLength: 1, maxLength: 50 },
);

t.test("a perceptron learns as that of simple-statistics does", async (t) => {
  fc.assert(
    fc.property(examples, (stream) => {
      const state = blank(2);
      const perceptron = createPerceptron(state, 1);
      const peer = new ss.PerceptronModel();
      return stream.every(({ inputs, label }) => {
        perceptron.learn(Float64Array.from(inputs), label);
        peer.train(inputs, label ? 1 : 0);
        return [...state.weights, state.bias].join(" ") === [...peer.weights, peer.bias].join(" ");
      });
    }),
  );
  t.pass();
});

t.test("a perceptron tells what a line can part", async (t) => {
  const perceptron = createPerceptron(blank(2), 1);
  const point = (i: number): Float64Array => Float64Array.of((i * 7) % 20, (i * 13) % 20);
  const above = ([x = 0, y = 0]: Float64Array): boolean => y > x + 0.5;
  for (let i = 0; i < 4000; i++) perceptron.learn(point(i), above(point(i)));
  for (let i = 0; i < 400; i++) t.equal(perceptron.predict(point(i)), above(point(i)));
});

t.test("a logistic regression finds the probabilities that the examples have", async (t) => {
  const state = blank(1);
  const logistic = createLogistic(state, { learningRate: 0.01, l2: 0 });
  // Of the ones 8 of 10 are true, of the zeros 3 of 10.
  for (let round = 0; round < 4000; round++) {
    for (let i = 0; i < 10; i++) {
      logistic.learn(Float64Array.of(1), i < 8);
      logistic.learn(Float64Array.of(0), i < 3);
    }
  }
  t.ok(Math.abs(logistic.predict(Float64Array.of(1)) - 0.8) < 0.03);
  t.ok(Math.abs(logistic.predict(Float64Array.of(0)) - 0.3) < 0.03);
});

t.test("one step goes down the gradient of the penalised log loss", async (t) => {
  fc.assert(
    fc.property(
      fc.array(fc.double({ min: -3, max: 3, noNaN: true }), { minLength: 2, maxLength: 2 }),
      fc.array(fc.double({ min: -2, max: 2, noNaN: true }), { minLength: 3, maxLength: 3 }),
      fc.boolean(),
      (inputs, [w0 = 0, w1 = 0, bias = 0], label) => {
        const l2 = 0.1;
        const loss = (a: number, b: number, c: number): number => {
          const score = a * inputs[0]! + b * inputs[1]! + c;
          return Math.log1p(Math.exp(label ? -score : score)) + (l2 / 2) * (a * a + b * b);
        };
        const h = 1e-5;
        const gradient = [
          (loss(w0 + h, w1, bias) - loss(w0 - h, w1, bias)) / (2 * h),
          (loss(w0, w1 + h, bias) - loss(w0, w1 - h, bias)) / (2 * h),
          (loss(w0, w1, bias + h) - loss(w0, w1, bias - h)) / (2 * h),
        ];
        const state: LinearState = { weights: Float64Array.of(w0, w1), bias };
        createLogistic(state, { learningRate: 0.5, l2 }).learn(Float64Array.from(inputs), label);
        const moved = [state.weights[0]! - w0, state.weights[1]! - w1, state.bias - bias];
        return moved.every((step, i) => Math.abs(step + 0.5 * gradient[i]!) < 1e-6);
      },
    ),
  );
  t.pass();
});

t.test("probabilities stay between 0 and 1 and weights finite, whatever the inputs", async (t) => {
  const any = fc.double({ noNaN: true, noDefaultInfinity: true });
  fc.assert(
    fc.property(fc.array(fc.tuple(any, any, fc.boolean()), { maxLength: 30 }), (stream) => {
      const [state, other] = [blank(2), blank(2)];
      const logistic = createLogistic(state, { learningRate: 1, l2: 0 });
      const perceptron = createPerceptron(other, 1);
      return stream.every(([a, b, label]) => {
        const inputs = Float64Array.of(a, b);
        logistic.learn(inputs, label);
        perceptron.learn(inputs, label);
        const p = logistic.predict(inputs);
        return (
          (Number.isNaN(p) || (p >= 0 && p <= 1)) && [...state.weights, ...other.weights, state.bias, other.bias].every(Number.isFinite)
        );
      });
    }),
  );
  t.pass();
});

t.test("scaled inputs have the z-scores of simple-statistics, cut at ten deviations", async (t) => {
  const values = [3, 8, 1, 9, 4];
  const scaling = createScaling(2);
  for (const value of values) scaling.learn(Float64Array.of(value, 5));
  const [first, second] = scaling.scaled(Float64Array.of(7, 5));
  t.ok(Math.abs(first! - ss.zScore(7, ss.mean(values), ss.sampleStandardDeviation(values))) < 1e-12);
  t.equal(second, 0, "what never changes says nothing");
  t.equal(scaling.scaled(Float64Array.of(1e9, 5))[0], 10);
  t.equal(scaling.scaled(Float64Array.of(-1e9, 5))[0], -10);
  const again = createScaling(2, scaling.state());
  t.strictSame(again.scaled(Float64Array.of(7, 5)), scaling.scaled(Float64Array.of(7, 5)));
  for (const huge of [Number.MAX_VALUE, -Number.MAX_VALUE]) scaling.learn(Float64Array.of(huge, 5));
  t.ok([...scaling.scaled(Float64Array.of(1, 5))].every(Number.isFinite));
});

const MODEL: SavedModel = {
  kind: "logistic",
  features: ["a", "b"],
  weights: [0.5, -1e-9],
  bias: 3,
  scaling: [
    { count: 3, mean: 1, squares: 2 },
    { count: 3, mean: 0, squares: 0 },
  ],
  examples: 3,
};
const EXPECTED = { kind: "logistic", features: ["a", "b"], standardise: true } as const;

t.test("a saved model is read back, and refused when it is another or damaged", async (t) => {
  const text = modelText(MODEL);
  t.strictSame(readModel(text, EXPECTED), MODEL);
  const refused = (changed: string, expected: Parameters<typeof readModel>[1] = EXPECTED): void => {
    t.throws(() => readModel(changed, expected), { code: "ARGUMENT" }, changed);
  };
  refused(text, { ...EXPECTED, kind: "perceptron" });
  refused(text, { ...EXPECTED, features: ["b", "a"] });
  refused(text, { ...EXPECTED, standardise: false });
  refused(text.replace('"version":1', '"version":2'));
  refused(text.replace("0.5,", ""));
  refused(text.replace("0.5", "null"));
  refused(text.replace('"squares":2', '"squares":-2'));
  for (let end = 0; end < text.length - 2; end += 7) refused(text.slice(0, end));
});
