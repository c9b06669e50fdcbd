"""Torch7's serialisation (torch7's File.lua, generic/Tensor.c, generic/Storage.c and THDiskFile.c).

`load` and `save` are what Torch7's torch.load and torch.save are. A file holds one object. An object is a type
tag and what follows it:

    tag  object            what follows                                             in Python
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

Strings within objects have no tag. The version is a string `V 1`; files older than versions lack it. Objects
with an index are written once: after that, tag and index stand for them, so shared and cyclic references
survive. CUDA and OpenCL tensors (`torch.CudaTensor` and `torch.ClTensor` are float) come out on the CPU, and
are written as CPU classes.

In binary files int has 4 bytes and long 8, or 4 from 32-bit systems; the first long in the file tells: where
it is followed by zeros it has 8. All is little-endian. In ASCII files each value above is a line; elements and
sizes are separated by spaces; strings and elements of one byte are the bytes themselves and a newline, and
where there are none there is no line. The first byte, a digit in ASCII files only, tells the two apart.

Functions stay bytecode: nothing in a file is ever run.
"""

from charrnn_port.torch7.t7.errors import T7Error
from charrnn_port.torch7.t7.objects import Function, Storage, Table, TorchObject
from charrnn_port.torch7.t7.reader import load
from charrnn_port.torch7.t7.writer import save

__all__ = ["Function", "Storage", "T7Error", "Table", "TorchObject", "load", "save"]
