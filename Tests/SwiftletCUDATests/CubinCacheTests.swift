// The cache of compiled kernels holds code: what is damaged, somebody else's or of another key is never used.

import Swiftlet
import SwiftletTestSupport
import Testing

#if canImport(Glibc)
import Glibc
#elseif canImport(Darwin)
import Darwin
#endif

@Suite("CUBIN cache")
struct CubinCacheTests {
    private let folder: TemporaryFolder
    private let path: String
    private let key = CubinCache.Key(["nvrtc 13.0", "-DHEAD_DIM=64"], ["a source"])
    private let code = (0..<1000).map { UInt8(truncatingIfNeeded: $0 * 7) }

    init() throws {
        folder = try TemporaryFolder()
        path = folder.path + "/cache/cuda"
    }

    private func mode(of path: String) -> mode_t {
        var status = stat()
        return stat(path, &status) == 0 ? status.st_mode & 0o777 : 0
    }

    private var file: String { path + "/" + key.name }

    @Test("What was written is read, by another process's cache as well, and nobody else can")
    func roundTrip() throws {
        #expect(try CubinCache(path).read(key) == nil)
        try CubinCache(path).write(code, key)
        #expect(try CubinCache(path).read(key) == code)
        #expect(mode(of: path) == 0o700 && mode(of: file) == 0o600)
        #expect(Platform.listDirectory(path) == [key.name])
    }

    @Test("Another source, option or version is another key, however they are cut")
    func keys() {
        let keys = [
            key, CubinCache.Key(["nvrtc 13.1", "-DHEAD_DIM=64"], ["a source"]),
            CubinCache.Key(["nvrtc 13.0", "-DHEAD_DIM=128"], ["a source"]),
            CubinCache.Key(["nvrtc 13.0", "-DHEAD_DIM=64"], ["another source"]),
            CubinCache.Key(["nvrtc 13.0-DHEAD_DIM=64"], ["a source"]),
            CubinCache.Key(["nvrtc 13.0", "-DHEAD_DIM=64", "a source"], [""]),
        ]
        #expect(Set(keys.map(\.name)).count == keys.count)
    }

    @Test("A file of another key is not used, though its name is this one's")
    func wrongKey() throws {
        let other = CubinCache.Key(["nvrtc 13.0", "-DHEAD_DIM=99"], ["a source"])
        let cache = try CubinCache(path)
        cache.write(code, other)
        #expect(rename(path + "/" + other.name, file) == 0)
        #expect(cache.read(key) == nil)
    }

    @Test("A truncated, lengthened or changed file is as good as none, and is written anew")
    func damage() throws {
        let cache = try CubinCache(path)
        cache.write(code, key)
        let whole = try #require(readFile(file))
        var random = SeededGenerator(seed: 1)
        var damaged = [0, 1, 16, 17, 33, whole.count / 2, whole.count - 1].map { Array(whole.prefix($0)) }
        damaged.append(whole + [0])
        for _ in 0..<200 {
            var bytes = whole
            bytes[Int.random(in: 0..<bytes.count, using: &random)] ^= 1 << UInt8.random(in: 0..<8, using: &random)
            damaged.append(bytes)
        }
        for bytes in damaged {
            _ = try folder.write(bytes, "cache/cuda/" + key.name)
            chmod(file, 0o600)
            #expect(cache.read(key) == nil)
        }
        cache.write(code, key)
        #expect(cache.read(key) == code)
    }

    @Test("Lengths that a file only says it has are not believed")
    func hugeLengths() throws {
        let cache = try CubinCache(path)
        cache.write(code, key)
        var bytes = try #require(readFile(file))
        for place in 17..<33 { bytes[place] = 0xFF }
        _ = try folder.write(bytes, "cache/cuda/" + key.name)
        chmod(file, 0o600)
        #expect(cache.read(key) == nil)
    }

    @Test("A folder or file that others can write to, or a link, is not trusted")
    func modes() throws {
        let cache = try CubinCache(path)
        cache.write(code, key)
        for mode in [0o666, 0o622] as [mode_t] {
            chmod(file, mode)
            #expect(cache.read(key) == nil)
        }
        chmod(file, 0o600)
        #expect(cache.read(key) == code)
        let elsewhere = folder.path + "/elsewhere"
        #expect(rename(file, elsewhere) == 0 && symlink(elsewhere, file) == 0)
        #expect(cache.read(key) == nil)
        for mode in [0o770, 0o707, 0o755] as [mode_t] {
            chmod(path, mode)
            let error = #expect(throws: LLMError.self) { try CubinCache(path) }
            #expect(error?.message.contains("0700") == true)
        }
        chmod(path, 0o700)
        let link = folder.path + "/link"
        #expect(symlink(path, link) == 0)
        #expect(throws: LLMError.self) { try CubinCache(link) }
    }

    @Test("A folder or file of somebody else is not trusted", .enabled(if: geteuid() == 0, "needs root"))
    func owners() throws {
        let cache = try CubinCache(path)
        cache.write(code, key)
        #expect(chown(file, 12345, 12345) == 0)
        #expect(cache.read(key) == nil)
        #expect(chown(path, 12345, 12345) == 0)
        #expect(throws: LLMError.self) { try CubinCache(path) }
    }

    @Test("The folder has a limit; the oldest go first")
    func limit() throws {
        let cache = try CubinCache(path, mostBytes: 5000)
        let keys = (0..<8).map { CubinCache.Key(["\($0)"], []) }
        for key in keys {
            cache.write(code, key)
            usleep(1000)
        }
        let left = keys.filter { cache.read($0) != nil }
        #expect(left.count == 4 && cache.read(keys[7]) == code)
        cache.write([UInt8](repeating: 1, count: 6000), key)
        #expect(cache.read(key) == nil)
    }

    @Test("Where it lies follows the environment")
    func environment() {
        func path(_ variables: [String: String]) -> String? { CubinCache.path { variables[$0] } }
        #expect(path(["SWIFTLET_CACHE": "/a", "HOME": "/h"]) == "/a/cuda")
        #expect(path(["XDG_CACHE_HOME": "/x", "HOME": "/h"]) == "/x/swiftlet/cuda")
        #expect(path(["HOME": "/h", "SWIFTLET_CACHE": ""]) == "/h/.cache/swiftlet/cuda")
        #expect(path([:]) == nil)
    }
}
