// conv1d.wgsl - the mixer's depthwise causal convolution and its rolling state. Twin: src/cpu/conv1d.rs.
// One thread a channel; it takes the tokens in order.
override WORKGROUP: u32 = 64u;

struct Shape {
    channels: u32,     // xbc
    taps: u32,         // k, 2 ... 8
    row: u32,          // width of a row of `projected`
    at: u32,           // where X | B | C begins in it
}

@group(0) @binding(0) var<uniform> cursor: Cursor;
@group(0) @binding(1) var<uniform> shape: Shape;
@group(0) @binding(2) var<storage, read> projected: array<f32>;      // [tokens, row]
@group(0) @binding(3) var<storage, read> weight: array<f32>;         // [k, xbc]  oldest tap first
@group(0) @binding(4) var<storage, read> bias: array<f32>;           // [xbc]
@group(0) @binding(5) var<storage, read_write> state: array<f32>;    // [k-1, xbc]  oldest first
@group(0) @binding(6) var<storage, read_write> xbc: array<f32>;      // [tokens, xbc]

@compute @workgroup_size(WORKGROUP)
fn conv1d(@builtin(global_invocation_id) id: vec3<u32>) {
    let channel = id.x;
    if cursor.halted != 0u || channel >= shape.channels { return; }
    let past_taps = shape.taps - 1u;
    var past: array<f32, 7>;
    for (var tap = 0u; tap < past_taps; tap += 1u) {
        past[tap] = state[tap * shape.channels + channel];
    }
    for (var t = 0u; t < cursor.tokens; t += 1u) {
        let x = projected[t * shape.row + shape.at + channel];
        var sum = 0.0;
        for (var tap = 0u; tap < past_taps; tap += 1u) {
            sum += past[tap] * weight[tap * shape.channels + channel];
        }
        sum = sum + x * weight[past_taps * shape.channels + channel] + bias[channel];
        xbc[t * shape.channels + channel] = silu(sum);
        for (var tap = 1u; tap < past_taps; tap += 1u) {
            past[tap - 1u] = past[tap];
        }
        past[past_taps - 1u] = x;
    }
    for (var tap = 0u; tap < past_taps; tap += 1u) {
        state[tap * shape.channels + channel] = past[tap];
    }
}
