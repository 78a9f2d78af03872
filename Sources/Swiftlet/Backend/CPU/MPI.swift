// MPI: the dozen functions of Open MPI that ranks on several machines need, opened at run time; and how a process finds
// out that mpirun or srun started it as one of several.
//
// Open MPI's handles are addresses of variables in its library, the same in all of its versions with libmpi.so.40
// (3 to 5). (MPICH's are numbers: its library has other symbols and is refused.)
// Invariant: every call's result is looked at; all calls come from the thread that initialised MPI.

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

/// Open MPI's functions and handles.
struct MPILibrary {
    typealias Handle = UnsafeMutableRawPointer
    typealias Memory = UnsafeMutableRawPointer
    typealias Counts = UnsafePointer<Int32>

    let initThread: @convention(c) (Memory?, Memory?, Int32, UnsafeMutablePointer<Int32>) -> Int32
    let rank: @convention(c) (Handle, UnsafeMutablePointer<Int32>) -> Int32
    let size: @convention(c) (Handle, UnsafeMutablePointer<Int32>) -> Int32
    let setErrorHandler: @convention(c) (Handle, Handle) -> Int32
    let splitType: @convention(c) (Handle, Int32, Int32, Handle, UnsafeMutablePointer<Handle?>) -> Int32
    let startBroadcast: @convention(c) (Memory?, Int32, Handle, Int32, Handle, UnsafeMutablePointer<Handle?>) -> Int32
    let test: @convention(c) (UnsafeMutablePointer<Handle?>, UnsafeMutablePointer<Int32>, Memory?) -> Int32
    let broadcast: @convention(c) (Memory?, Int32, Handle, Int32, Handle) -> Int32
    let allGather: @convention(c) (Memory?, Int32, Handle, Memory?, Int32, Handle, Handle) -> Int32
    let allGatherVariable: @convention(c) (Memory?, Int32, Handle, Memory?, Counts, Counts, Handle, Handle) -> Int32
    let allToAllVariable:
        @convention(c) (Memory?, Counts, Counts, Handle, Memory?, Counts, Counts, Handle, Handle) -> Int32
    let gatherVariable:
        @convention(c) (Memory?, Int32, Handle, Memory?, Counts?, Counts?, Handle, Int32, Handle) -> Int32
    let allReduce: @convention(c) (Memory?, Memory?, Int32, Handle, Handle, Handle) -> Int32
    let abort: @convention(c) (Handle, Int32) -> Int32
    let finalize: @convention(c) () -> Int32
    let errorText: @convention(c) (Int32, UnsafeMutablePointer<CChar>, UnsafeMutablePointer<Int32>) -> Int32

    let world: Handle
    let float: Handle
    let int32: Handle
    let int64: Handle
    let minimum: Handle
    let errorsReturn: Handle
    let noInfo: Handle
    /// MPI_IN_PLACE.
    var inPlace: Memory? { Memory(bitPattern: 1) }

    init() throws(LLMError) {
        let library = try DynamicLibrary(
            ["libmpi.so.40", "libmpi.40.dylib"],
            purpose: "several machines need Open MPI (Debian: openmpi-bin)")
        initThread = try library.function("MPI_Init_thread")
        rank = try library.function("MPI_Comm_rank")
        size = try library.function("MPI_Comm_size")
        setErrorHandler = try library.function("MPI_Comm_set_errhandler")
        splitType = try library.function("MPI_Comm_split_type")
        startBroadcast = try library.function("MPI_Ibcast")
        test = try library.function("MPI_Test")
        broadcast = try library.function("MPI_Bcast")
        allGather = try library.function("MPI_Allgather")
        allGatherVariable = try library.function("MPI_Allgatherv")
        allToAllVariable = try library.function("MPI_Alltoallv")
        gatherVariable = try library.function("MPI_Gatherv")
        allReduce = try library.function("MPI_Allreduce")
        abort = try library.function("MPI_Abort")
        finalize = try library.function("MPI_Finalize")
        errorText = try library.function("MPI_Error_string")
        world = try library.address("ompi_mpi_comm_world")
        float = try library.address("ompi_mpi_float")
        int32 = try library.address("ompi_mpi_int32_t")
        int64 = try library.address("ompi_mpi_int64_t")
        minimum = try library.address("ompi_mpi_op_min")
        errorsReturn = try library.address("ompi_mpi_errors_return")
        noInfo = try library.address("ompi_mpi_info_null")
    }
}
