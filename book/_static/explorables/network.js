/* The one forward pass of all explorables, and its gradient. No page is touched here.
 *
 * A network is { layers }; a layer is { rows, inputs, W, b, activation }, its weights W stored input by input, so that
 * inputs that are zero cost nothing. Defines window.explorables.network:
 *
 *   layer          a layer from a matrix row by row, the bias last in every row
 *   ACTIVATIONS    linear, relu, tanh, by name; smoothRelu(a): the smooth one, which depends on a number
 *   times          a product with W; timesTransposed: one with its transpose
 *   continueFrom   all values of a network from those of its first layer on; outputs: its last values for an image
 *   softmax        confidences from logits
 *   gradient       the derivative of the loss with respect to the pixels
 */
"use strict";

{
  // value(v), and back(d, v, y): d times the derivative at v, where the value is y
  const ACTIVATIONS = {
    linear: { value: (v) => v, back: (d) => d },
    relu: { value: (v) => Math.max(v, 0), back: (d, v) => v > 0 ? d : 0 },
    tanh: { value: (v) => Math.tanh(v), back: (d, v, y) => d * (1 - y * y) },
  };

  /** (v + √(v² + a²)) / 2, without cancellation where v is negative. */
  function smoothRelu(a) {
    return {
      value: (v) => {
        const twice = Math.abs(v) + Math.hypot(v, a);
        return 0.5 * (v < 0 ? a * (a / twice) : twice);
      },
      back: (d, v, y) => d * y / Math.hypot(v, a),
    };
  }

  function layer(A, [rows, columns], activation) {
    const inputs = columns - 1, W = new Float64Array(inputs * rows), b = new Float64Array(rows);
    for (let r = 0; r < rows; r++) {
      for (let c = 0; c < inputs; c++) W[c * rows + r] = A[r * columns + c];
      b[r] = A[r * columns + inputs];
    }
    return { rows, inputs, W, b, activation };
  }

  /** W y, to which `start` is added. */
  function times({ rows, inputs, W }, y, start) {
    const out = start ? Float64Array.from(start) : new Float64Array(rows);
    for (let c = 0; c < inputs; c++) {
      const factor = y[c];
      if (factor === 0) continue;
      for (let r = 0, at = c * rows; r < rows; r++) out[r] += W[at + r] * factor;
    }
    return out;
  }

  /** Wᵀ d. */
  function timesTransposed({ rows, inputs, W }, d) {
    const out = new Float64Array(inputs);
    for (let c = 0; c < inputs; c++) {
      let sum = 0;
      for (let r = 0; r < rows; r++) sum += W[c * rows + r] * d[r];
      out[c] = sum;
    }
    return out;
  }

  /** The values before and after every activation, from those before the first one on. */
  function continueFrom({ layers }, first) {
    const before = [first], after = [first.map((v) => layers[0].activation.value(v))];
    for (const next of layers.slice(1)) {
      const values = times(next, after[after.length - 1], next.b);
      before.push(values);
      after.push(values.map((v) => next.activation.value(v)));
    }
    return { before, after, outputs: after[after.length - 1] };
  }

  const forward = (net, x) => continueFrom(net, times(net.layers[0], x, net.layers[0].b));
  const outputs = (net, x) => forward(net, x).outputs;

  function softmax(logits) {
    const top = Math.max(...logits), powers = logits.map((v) => Math.exp(v - top));
    const total = powers.reduce((sum, p) => sum + p, 0);
    return powers.map((p) => p / total);
  }

  /** The derivative of the loss -log q_label with respect to the pixels, by back-propagation; the last layer is linear. */
  function gradient(net, x, label) {
    const { before, after } = forward(net, x);
    let d = softmax(after[after.length - 1]);
    d[label] = 0;
    d[label] = -d.reduce((sum, q) => sum + q, 0); // q - 1 without cancellation
    for (let i = net.layers.length - 1; i >= 0; i--) {
      const { back } = net.layers[i].activation;
      d = timesTransposed(net.layers[i], d.map((v, k) => back(v, before[i][k], after[i][k])));
    }
    return d;
  }

  Object.assign(window.explorables, {
    network: { layer, ACTIVATIONS, smoothRelu, times, timesTransposed, continueFrom, outputs, softmax, gradient },
  });
}
