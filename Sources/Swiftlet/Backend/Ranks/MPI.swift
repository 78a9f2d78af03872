// MPI: the dozen functions of Open MPI that processes on several machines need, opened at run time; and how a process
// finds out that mpirun or srun started it as one of several.
//
// Open MPI's handles are addresses of variables in its library, the same in all of its versions with libmpi.so.40
// (3 to 5). (MPICH's are numbers: its library has other symbols and is refused.)
// Invariant: nothing here waits inside MPI but its start and its end: a peer that died would never let go.

/// Where this process stands among those that a launcher started together.
package struct LaunchedRanks: Sendable, Hashable {
    package var rank: Int
    package var count: Int

    /// nil: started alone, or by something that is no MPI launcher. A script under sbatch has SLURM_PROCID too, but
    /// only what srun or mpirun started has PMI's variables.
    package init?(_ variable: (String) -> String?) {
        func number(_ names: String...) -> Int? { names.compactMap { variable($0).flatMap { Int($0) } }.first }
        guard let rank = number("OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK"),
            let count = number("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"),
            count > 1, (0..<count).contains(rank)
        else { return nil }
        self.rank = rank
        self.count = count
    }

    /// Of this process.
    package static var current: LaunchedRanks? { LaunchedRanks(Platform.environment) }
}

/// Open MPI's functions and handles: addresses in a library that is never closed, which any thread may use.
struct MPILibrary: @unchecked Sendable {
    typealias Handle = UnsafeMutableRawPointer
    typealias Memory = UnsafeMutableRawPointer
    typealias Numbers = UnsafeMutablePointer<Int32>
    typealias Handles = UnsafeMutablePointer<Handle?>

    private let initThread: @convention(c) (Memory?, Memory?, Int32, Numbers) -> Int32
    private let rank: @convention(c) (Handle, Numbers) -> Int32
    private let size: @convention(c) (Handle, Numbers) -> Int32
    private let setErrorHandler: @convention(c) (Handle, Handle) -> Int32
    private let duplicate: @convention(c) (Handle, Handles) -> Int32
    private let split: @convention(c) (Handle, Int32, Int32, Handles) -> Int32
    private let splitType: @convention(c) (Handle, Int32, Int32, Handle, Handles) -> Int32
    let startBroadcast: @convention(c) (Memory?, Int32, Handle, Int32, Handle, Handles) -> Int32
    let startSend: @convention(c) (UnsafeRawPointer?, Int32, Handle, Int32, Int32, Handle, Handles) -> Int32
    let startReceive: @convention(c) (Memory?, Int32, Handle, Int32, Int32, Handle, Handles) -> Int32
    let testAll: @convention(c) (Int32, Handles, Numbers, Memory?) -> Int32
    let cancel: @convention(c) (Handles) -> Int32
    let probe: @convention(c) (Int32, Int32, Handle, Numbers, Memory?) -> Int32
    let receivedCount: @convention(c) (Memory?, Handle, Numbers) -> Int32
    let abort: @convention(c) (Handle, Int32) -> Int32
    let finalize: @convention(c) () -> Int32
    private let errorText: @convention(c) (Int32, UnsafeMutablePointer<CChar>, Numbers) -> Int32

    let world: Handle
    let byte: Handle
    let int32: Handle
    private let errorsReturn: Handle
    private let noInfo: Handle
    /// MPI_ANY_SOURCE and MPI_ANY_TAG.
    let any: Int32 = -1
    /// Words of an MPI_Status; the first two are source and tag.
    static let statusWords = 6

    init() throws(LLMError) {
        let library = try DynamicLibrary(
            ["libmpi.so.40", "libmpi.40.dylib"],
            purpose: "several machines need Open MPI (Debian: openmpi-bin)")
        initThread = try library.function("MPI_Init_thread")
        rank = try library.function("MPI_Comm_rank")
        size = try library.function("MPI_Comm_size")
        setErrorHandler = try library.function("MPI_Comm_set_errhandler")
        duplicate = try library.function("MPI_Comm_dup")
        split = try library.function("MPI_Comm_split")
        splitType = try library.function("MPI_Comm_split_type")
        startBroadcast = try library.function("MPI_Ibcast")
        startSend = try library.function("MPI_Isend")
        startReceive = try library.function("MPI_Irecv")
        testAll = try library.function("MPI_Testall")
        cancel = try library.function("MPI_Cancel")
        probe = try library.function("MPI_Iprobe")
        receivedCount = try library.function("MPI_Get_count")
        abort = try library.function("MPI_Abort")
        finalize = try library.function("MPI_Finalize")
        errorText = try library.function("MPI_Error_string")
        world = try library.address("ompi_mpi_comm_world")
        byte = try library.address("ompi_mpi_byte")
        int32 = try library.address("ompi_mpi_int32_t")
        errorsReturn = try library.address("ompi_mpi_errors_return")
        noInfo = try library.address("ompi_mpi_info_null")
    }

    func check(_ result: Int32, _ call: String) throws(LLMError) {
        guard result != 0 else { return }
        var text = [CChar](repeating: 0, count: 512)  // MPI_MAX_ERROR_STRING is 256
        var length: Int32 = 0
        _ = errorText(result, &text, &length)
        let message = String(decoding: text.prefix(Int(length)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
        throw LLMError(.engineFailed, "\(call) failed: \(message)")
    }

    /// Starts MPI for any number of threads, once in a process.
    func start() throws(LLMError) {
        var provided: Int32 = 0
        try check(initThread(nil, nil, 3, &provided), "MPI_Init_thread")
        guard provided == 3 else {
            throw LLMError(.invalidConfiguration, "this Open MPI was built without MPI_THREAD_MULTIPLE")
        }
        try check(setErrorHandler(world, errorsReturn), "MPI_Comm_set_errhandler")
    }

    func place(in communicator: Handle) throws(LLMError) -> (rank: Int, count: Int) {
        var (number, count): (Int32, Int32) = (0, 0)
        try check(rank(communicator, &number), "MPI_Comm_rank")
        try check(size(communicator, &count), "MPI_Comm_size")
        return (Int(number), Int(count))
    }

    /// All processes, for messages that don't meet those of another communicator.
    func duplicateWorld() throws(LLMError) -> Handle {
        var made: Handle?
        try check(duplicate(world, &made), "MPI_Comm_dup")
        return made!
    }

    /// The processes of the same group, in the order of all.
    func part(group: Int, rank: Int) throws(LLMError) -> Handle {
        var made: Handle?
        try check(split(world, Int32(group), Int32(rank), &made), "MPI_Comm_split")
        return made!
    }

    /// The processes of this machine. (0: MPI_COMM_TYPE_SHARED.)
    func machine(rank: Int) throws(LLMError) -> Handle {
        var made: Handle?
        try check(splitType(world, 0, Int32(rank), noInfo, &made), "MPI_Comm_split_type")
        return made!
    }
}
