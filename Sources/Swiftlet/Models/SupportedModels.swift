// SupportedModels: what can be run, as text. `swiftlet info --supported` prints it, README's tables are made of it
// (Tools/docs/update-supported-models; DocumentationTests compare them), and messages about what can't be run use it.
// Invariant: made from what the code itself looks up: ModelFamily.all, RopeScaling.supportedKinds, `formats`.

package enum SupportedModels {
    /// Forms that weights are read in, one line each. Whoever adds a format adds its line here.
    package static let formats = [
        "safetensors, in one file or sharded, in float32, float16 or bfloat16"
    ]

    /// What a model's folder looks like.
    package static let layout =
        "config.json, tokenizer.json and model.safetensors, or shards with model.safetensors.index.json"

    /// Two tables in Markdown: models by the class that config.json names, and what their files may have.
    package static var markdown: String {
        let models = ModelFamily.all.map { "| \($0.models) | `\($0.architecture)` |" }
        let ropes = RopeScaling.supportedKinds.map { "`\($0)`" }.joined(separator: ", ")
        let lines =
            ["| Models | `architectures` in config.json |", "|---|---|"] + models
            + ["", "| Files | |", "|---|---|"] + formats.map { "| Weights | \($0) |" } + ["| Rope types | \(ropes) |"]
        return lines.joined(separator: "\n") + "\n"
    }
}

/// Files of models that other programs read, by how their names end.
enum ForeignFormat {
    private static let suffixes: [(suffix: String, name: String)] = [
        (".gguf", "GGUF"), (".ggml", "GGML"), (".bin", "pickle"), (".pt", "pickle"), (".pth", "pickle"),
        (".ckpt", "pickle"), (".pkl", "pickle"), (".onnx", "ONNX"), (".npz", "NumPy"), (".h5", "HDF5"),
        (".msgpack", "Flax"), (".tflite", "TFLite"), (".task", "MediaPipe"), (".mlpackage", "Core ML"),
        (".nemo", "NeMo"), (".safetensors", "safetensors"),
    ]

    /// What the file is called and what it is; nil if it is none of these.
    static func describe(_ file: String) -> String? {
        if file == "adapter_config.json" { return "\(file) (a LoRA adapter, which is part of a model)" }
        if file == "model_index.json" { return "\(file) (a diffusion pipeline)" }
        if file == "params.json" { return "\(file) (a checkpoint in its maker's own layout)" }
        guard let format = suffixes.first(where: { file.lowercased().hasSuffix($0.suffix) }) else { return nil }
        return "\(file) (\(format.name))"
    }
}
