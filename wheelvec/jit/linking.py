"""Link-time optimization: a function that compiled code calls is optimized in its callers alone.

Numba optimizes each function with all that it calls, translates it, and links the result into each
caller, where the same is done again: functions five calls deep were optimized five times, and given
wrappers for Python that nobody called. Here each function has two forms. Compiled callers link the
callee, which is LLVM IR as Numba wrote it. Python calls the kernel, which is optimized and
translated at once with all its callees. A first backtest and a first sweep take half of the time.
"""

from collections.abc import Callable
from functools import cached_property
from typing import Any

from llvmlite.binding import Linkage
from numba.core import types
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder, Flags
from numba.core.compiler_lock import global_compiler_lock
from numba.core.compiler_machinery import LoweringPass, register_pass
from numba.core.registry import CPUDispatcher
from numba.core.typed_passes import NativeLowering

from wheelvec.jit.collector import paused_collector


class KernelLibrary(JITCodeLibrary):
    """The machine code of a kernel and of its callees."""

    def _optimize_final_module(self) -> None:
        # nobody else links these callees: LLVM may then inline those with one caller, and drop the
        # arguments that the others do not read
        for function in self._final_module.functions:
            if function.linkage == Linkage.linkonce_odr:
                function.linkage = Linkage.internal
        super()._optimize_final_module()


class CalleeLibrary(JITCodeLibrary):
    """The LLVM IR of a callee and of all that it calls, neither optimized nor translated."""

    def _optimize_final_module(self) -> None:
        """Leave it to the kernel."""

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._finalized = True


@register_pass(mutates_CFG=True, analysis_only=False)
class CalleeBackend(LoweringPass):
    """Make a callee known to the compiler of its callers, by a key in place of a function."""

    _name = "callee_backend"

    def __init__(self) -> None:
        LoweringPass.__init__(self)

    def run_pass(self, state: Any) -> bool:
        """Declare the lowered function of a compiler's state; the state is changed."""
        lowered, key = state["cr"], object()
        state.library.finalize()
        state.targetctx.insert_user_function(key, lowered.fndesc, [state.library])
        state["cr"] = lowered._replace(cfunc=key)
        return True


class ComparedFlags(Flags):
    """Numba's options of a compilation, compared by those that were set.

    Numba looks up the types of each operation by the options too. It puts all forty of them into a
    dictionary to hash or compare them, 110,000 times in a first backtest: 0.35 of its 13 seconds.
    """

    _hash = hash(Flags())  # Numba's is of the names of the options

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        alike = isinstance(other, ComparedFlags) and self._values == other._values
        return alike or super().__eq__(other)


class LinkedCompiler(CompilerBase):
    """Numba's compiler, but for how its options are compared."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.state.flags = ComparedFlags(self.state.flags)


class KernelCompiler(LinkedCompiler):
    """Numba's compiler, but for the library."""

    def define_pipelines(self) -> list[Any]:
        """The passes of the compiler."""
        state = self.state
        state.library = KernelLibrary(state.targetctx.codegen(), state.func_id.func_qualname)
        state.library.enable_object_caching()
        return [DefaultPassBuilder.define_nopython_pipeline(state)]


class CalleeCompiler(LinkedCompiler):
    """Numba's compiler up to the LLVM IR, without wrappers for Python and C."""

    def define_pipelines(self) -> list[Any]:
        """The passes of the compiler."""
        state = self.state
        state.flags.no_compile = True
        state.flags.no_cpython_wrapper = state.flags.no_cfunc_wrapper = True
        state.library = CalleeLibrary(state.targetctx.codegen(), state.func_id.func_qualname)
        passes = DefaultPassBuilder.define_nopython_pipeline(state)
        passes.add_pass_after(CalleeBackend, NativeLowering)
        passes.finalize()
        return [passes]


class Callee(CPUDispatcher):
    """A function as compiled callers see it."""

    def add_overload(self, compiled: Any) -> None:
        """Keep what was compiled; there is nothing that Python could call."""
        self.overloads[tuple(compiled.signature.args)] = compiled

    def get_call_template(self, args: Any, kws: Any) -> Any:
        """The signature of a call: for a constant it is that of any number of its type.

        Numba compiles a function again for each constant: counters of eight reasons, eight times.
        """
        named = {name: types.unliteral(kind) for name, kind in kws.items()}
        return super().get_call_template(tuple(types.unliteral(kind) for kind in args), named)


class Kernel(CPUDispatcher):
    """A compiled function: Python calls it, and compiled callers its callee."""

    def __init__(self, function: Callable[..., object], options: dict[str, Any]) -> None:
        super().__init__(function, targetoptions=options, pipeline_class=KernelCompiler)

    @cached_property
    def callee(self) -> Any:
        """This function as compiled callers see it, made when the first of them is compiled."""
        return Callee(self.py_func, targetoptions=self.targetoptions, pipeline_class=CalleeCompiler)

    @property
    def _numba_type_(self) -> Any:
        """The type of this function in compiled callers."""
        return self.callee._numba_type_

    def compile(self, sig: Any) -> Any:
        """The code for one signature, compiled with its callees or loaded from the cache.

        Python's collector is paused: it went ten times through all that the compiler keeps, for 2
        of the 13 seconds of a first backtest, to free 90 MB. The lock is Numba's own: with it, no
        thread that waits to compile takes the pause of another for the caller's.
        """
        with global_compiler_lock, paused_collector():
            return super().compile(sig)
