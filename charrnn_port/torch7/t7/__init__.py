"""Reads and writes Torch7's serialization (torch7's File.lua, generic/Tensor.c, generic/Storage.c and THDiskFile.c).

`load` and `save` correspond to Torch7's torch.load and torch.save. A file holds one object. An object is a type tag
followed by its contents:

    tag  object            contents                                                 in Python
    0    nil               nothing                                                  None
    1    number            double                                                   float
    2    string            int length, bytes                                        bytes
    3    table             int index, int count, count times key and value          Table
    4    torch object      int index, version, string class name, contents          see below
    5    boolean           int 0 or 1                                               bool
    6    function (old)    string bytecode, table of upvalues                       Function
    7, 8 function          int index, string bytecode, table of upvalues            Function

    class                  contents
    torch.*Storage         long size, elements                                      Storage
    torch.*Tensor          int dimensions, long sizes, long strides,                torch.Tensor
                           long offset (from 1), its storage (object) or nil
    any other              a table of its fields (object)                           TorchObject

Strings within objects have no tag. The version is a string `V 1`, which older files lack. An object with an index is
written once; later references are its tag and index, so that shared and cyclic references are preserved. CUDA and
OpenCL tensors (`torch.CudaTensor` and `torch.ClTensor` are float) are loaded onto the CPU and written as CPU classes.

In binary files, int has 4 bytes and long 8, or 4 if a 32-bit system wrote the file; the reader detects which at the
first long: it has 8 bytes if zeros follow. All values are little-endian. In ASCII files, each value above is a line;
elements and sizes are separated by spaces; strings and elements of one byte are raw bytes and a newline, or no line if
there are none. Only ASCII files begin with a digit.

Functions stay bytecode: nothing in a file is ever executed.
"""

from charrnn_port.torch7.t7.layout import T7Error
from charrnn_port.torch7.t7.objects import Function, Storage, Table, TorchObject
from charrnn_port.torch7.t7.reader import load
from charrnn_port.torch7.t7.writer import save

__all__ = ["Function", "Storage", "T7Error", "Table", "TorchObject", "load", "save"]
