from .task import AbstractTask as AbstractTask
from .task import Completion as Completion
from .task import CustomCost as CustomCost
from .task import Quadratic as Quadratic
from .task import Regression as Regression
from .task import SpikedMatrix as SpikedMatrix
