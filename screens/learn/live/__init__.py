"""Live widgets of the lessons. Begin with `live_widget`, their base class; `lesson_reader` has their names."""
