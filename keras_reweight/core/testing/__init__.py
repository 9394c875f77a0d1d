"""The contract of every public method, as checks that raise `AssertionError`.

```python
from keras_reweight.core.testing import Row, checks_for

for name, check in checks_for(Row(MyWeighting, "weighting", arguments={"temperature": 0.4})):
    check()
```
"""

from keras_reweight.core.testing.catalog import Row, collect
from keras_reweight.core.testing.registry import checks_for
from keras_reweight.core.testing.tasks import Task

__all__ = ["Row", "Task", "checks_for", "collect"]
