"""Live widgets of the lessons. Begin with `live_registry`, their names, and `live_widget`, their base class."""
