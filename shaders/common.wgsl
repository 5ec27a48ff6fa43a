// common.wgsl - what all kernels share; put before each of them. Formulas as in src/math.rs, so that CPU and GPU round alike.

// Bits of a packed weight: 8 (int8), 4 (int4) or 2 (ternary).
override BITS: u32 = 4u;

// Where a pass is. The host sets it before a prefill; within a burst the sampler moves it on.
struct Cursor {
    tokens: u32,     // that this pass takes through the network together
    step: u32,       // which token of the burst; 0 in a prefill
    halted: u32,     // 1 once the burst's reply has ended: every kernel then returns at once
    position: u32,   // tokens before this pass
}

// How a site's neurons behave, and how what they say is read out (src/model/spikes.rs, Neuron).
struct Neuron {
    steps: u32,             // T
    leak: f32,              // 1 / tau
    precharge: f32,
    inverse_scale: f32,     // 1 / threshold_scale, divided by the host
    threshold_scale: f32,   // lambda
}

// e^x, within a few units in the last place (src/math.rs).
fn exp_(x: f32) -> f32 {
    let c = min(x, 88.0);
    let n = round(c * 1.442695);
    let r = (c - n * 0.6933594) - n * -2.1219444e-4;
    var p = 1.9875692e-4;
    p = p * r + 1.3982e-3;
    p = p * r + 8.333452e-3;
    p = p * r + 4.1665796e-2;
    p = p * r + 1.6666665e-1;
    p = p * r + 0.5;
    let e = p * (r * r) + r + 1.0;
    let power = bitcast<f32>(u32(max(i32(n), -126) + 127) << 23u);
    return select(e * power, 0.0, x < -87.3);
}

// x / (1 + e^-x).
fn silu(x: f32) -> f32 {
    return x / (1.0 + exp_(-x));
}

// ln(1 + x) for x in [0, 1], as 2·atanh(x / (2 + x)): no difference of near numbers that a compiler could spoil.
fn log1p(x: f32) -> f32 {
    let s = x / (2.0 + x);
    let z = s * s;
    var p = 1.0 / 17.0;
    p = p * z + 1.0 / 15.0;
    p = p * z + 1.0 / 13.0;
    p = p * z + 1.0 / 11.0;
    p = p * z + 1.0 / 9.0;
    p = p * z + 1.0 / 7.0;
    p = p * z + 1.0 / 5.0;
    p = p * z + 1.0 / 3.0;
    return 2.0 * (s + s * z * p);
}

// ln(1 + e^x), without overflow.
fn softplus(x: f32) -> f32 {
    return max(x, 0.0) + log1p(exp_(-abs(x)));
}

// ln x for normal x > 0. The built-in's error is bounded only near 1.
fn ln(x: f32) -> f32 {
    let bits = bitcast<u32>(x);
    // x = m · 2^e with m in [sqrt(1/2), sqrt 2).
    let e = i32(bits + 0x4afb0du) / 8388608 - 127;
    let m = bitcast<f32>(u32(i32(bits) - e * 8388608));
    let s = (m - 1.0) / (m + 1.0);
    let z = s * s;
    var p = 1.0 / 11.0;
    p = p * z + 1.0 / 9.0;
    p = p * z + 1.0 / 7.0;
    p = p * z + 1.0 / 5.0;
    p = p * z + 1.0 / 3.0;
    return f32(e) * 0.69314718 + 2.0 * (s + s * z * p);
}

// The integer in field `index` of a packed word, with its sign.
fn field(word: u32, index: u32) -> i32 {
    return extractBits(bitcast<i32>(word), index * BITS, BITS);
}
