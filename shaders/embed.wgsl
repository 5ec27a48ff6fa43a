// embed.wgsl - tokens' rows of the embedding: x = scale[token] · embed[token, :]. Twin: src/cpu/embed.rs.
// A large embedding lies in several parts, one dispatch each; a part passes over tokens of other parts.
override WORKGROUP: u32 = 64u;

struct Shape {
    d: u32,
    row_words: u32,    // 32-bit words of a packed row
    first: u32,        // token of the part's first row
    rows: u32,         // rows of the part
}

@group(0) @binding(0) var<uniform> cursor: Cursor;
@group(0) @binding(1) var<uniform> shape: Shape;
@group(0) @binding(2) var<storage, read> tokens: array<u32>;      // [steps or tokens]
@group(0) @binding(3) var<storage, read> embed: array<u32>;       // [rows, row_words]
@group(0) @binding(4) var<storage, read> scale: array<f32>;       // [v]
@group(0) @binding(5) var<storage, read_write> x: array<f32>;     // [tokens, d]

@compute @workgroup_size(WORKGROUP)
fn embed_rows(@builtin(global_invocation_id) id: vec3<u32>) {
    let column = id.x;
    let t = id.y;
    if cursor.halted != 0u || column >= shape.d || t >= cursor.tokens { return; }
    let token = tokens[cursor.step + t];
    if token < shape.first || token - shape.first >= shape.rows { return; }
    let fields = 32u / BITS;
    let word = embed[(token - shape.first) * shape.row_words + column / fields];
    x[t * shape.d + column] = scale[token] * f32(field(word, column % fields));
}
