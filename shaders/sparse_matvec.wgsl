// sparse_matvec.wgsl - the projection behind a site, for one token: adds the weight rows of the neurons that fired, in
// integers, then scales. Twin: src/cpu/sparse_matmul.rs (sparse_matmul and dequantise).
//
// A workgroup owns COLUMNS words of every row; its SLICES take turns at the events, and their sums meet at the end.
override COLUMNS: u32 = 8u;
override SLICES: u32 = 16u;

struct Shape {
    inputs: u32,
    outputs: u32,      // of the whole projection: width of a row of `out`
    first: u32,        // output that this part of the matrix begins with
    columns: u32,      // outputs of this part
    row_words: u32,    // 32-bit words of a packed row of this part
    residual: u32,     // 1: add to `out`; 0: overwrite it
}

@group(0) @binding(0) var<uniform> cursor: Cursor;
@group(0) @binding(1) var<uniform> shape: Shape;
@group(0) @binding(2) var<uniform> neuron: Neuron;
@group(0) @binding(3) var<storage, read> spikes: array<u32>;       // [tokens, 1 + inputs + inputs/4]
@group(0) @binding(4) var<storage, read> weight: array<u32>;       // [inputs, row_words]
@group(0) @binding(5) var<storage, read> scale: array<f32>;        // [outputs]
@group(0) @binding(6) var<storage, read_write> out: array<f32>;    // [tokens, outputs]

var<workgroup> sums: array<i32, COLUMNS * SLICES * 16u>;           // [SLICES, COLUMNS · 16]

@compute @workgroup_size(COLUMNS, SLICES)
fn sparse_matvec(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    if cursor.halted != 0u { return; }
    let fields = 32u / BITS;
    let word = group.x * COLUMNS + local.x;
    var sum: array<i32, 16>;
    if word < shape.row_words {
        let events = spikes[0];
        for (var e = local.y; e < events; e += SLICES) {
            let event = spikes[1u + e];
            let count = extractBits(bitcast<i32>(event), 0u, 16u);
            let packed = weight[(event >> 16u) * shape.row_words + word];
            for (var f = 0u; f < fields; f += 1u) {
                sum[f] += count * field(packed, f);
            }
        }
    }
    for (var f = 0u; f < fields; f += 1u) {
        sums[(local.y * COLUMNS + local.x) * 16u + f] = sum[f];
    }
    workgroupBarrier();
    for (var c = index; c < COLUMNS * fields; c += COLUMNS * SLICES) {
        let column = group.x * COLUMNS * fields + c;
        if column >= shape.columns { break; }
        var total = 0;
        for (var slice = 0u; slice < SLICES; slice += 1u) {
            total += sums[(slice * COLUMNS + c / fields) * 16u + c % fields];
        }
        let o = shape.first + column;
        let value = f32(total) * scale[o] * neuron.threshold_scale;
        if shape.residual == 1u { out[o] += value; } else { out[o] = value; }
    }
}
